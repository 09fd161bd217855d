"""Who talks to a run that takes questions and says nothing (its supervisor was stopped) hears so, and goes on."""

from __future__ import annotations

import os
import socket
import time

import pytest
from msgspec.structs import replace

from devrun.errors import NotReadyError
from devrun.model import ProcessIdentity, RunRecord
from devrun.run.talk import client, lateness, loan, protocol
from devrun.run.talk.attaching import Attached
from devrun.run.talk.client import SilentError, UnreachableError, ask, connect
from devrun.run.talk.keys import parse_key
from devrun.run.talk.loan import Loan
from devrun.run.talk.protocol import Answer, Ask, ServiceStatus, encode
from devrun.state import open_state
from devrun.system.processes import identify

PATIENCE = 0.05


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """A socket that is listened on and never accepted from: the kernel takes connections and questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "ANSWER_PATIENCE", PATIENCE)
    monkeypatch.setattr(loan, "RETURN_PATIENCE", PATIENCE)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("run.sock")
        listening.listen()
        yield listening


@pytest.fixture
def run():
    return RunRecord(
        id="x",
        worktree="/w",
        worktree_identity="/w",
        keeper=None,
        supervisor=None,
        boot_id="b",
        started_at=0.0,
        detached=True,
        owner=None,
        socket="run.sock",
    )


@pytest.mark.parametrize(
    "question",
    [
        Ask(protocol.STATUS),
        Ask(protocol.KEEP, names=("web",)),
        Ask(protocol.RESIZE, names=("web",), size=(1, 1)),
        Ask(protocol.ADD, waits=False),
    ],
    ids=lambda question: question.verb,
)
def test_what_needs_no_waiting_is_not_waited_for_for_ever(listener, run, question):
    with pytest.raises(SilentError, match="the run in `/w` does not answer") as caught:
        ask(run, question)
    assert caught.value.hint == "`devrun down` ends it"
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("verb", [protocol.WAIT, protocol.DOWN, protocol.STOP, protocol.START, protocol.RESTART])
def test_what_may_take_its_time_ends_at_its_own_timeout(listener, run, verb):
    with pytest.raises(NotReadyError, match=r"no answer after 0\.05 s"):
        ask(run, Ask(verb), timeout=PATIENCE)


def test_attach_does_not_wait_for_ever(listener, run):
    with pytest.raises(SilentError):
        Attached(run, "web", key=parse_key("ctrl-]"))


def test_a_run_that_is_about_to_listen_is_waited_for(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:

        def sleep(_seconds):
            listening.bind("run.sock~")
            listening.listen()
            os.rename("run.sock~", "run.sock")

        monkeypatch.setattr(client.time, "sleep", sleep)
        young = replace(run, supervisor=identify(os.getpid()), started_at=time.time())
        connect(young).close()


@pytest.mark.parametrize("age", [-60, client.STARTING + 1])
def test_a_run_that_has_long_started_is_not(run, tmp_path, monkeypatch, age):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreachableError, match="does not answer: no such file"):
        connect(replace(run, supervisor=identify(os.getpid()), started_at=time.time() - age))


def test_a_run_that_died_while_it_started_is_not(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = ProcessIdentity(os.getpid(), 1)
    with pytest.raises(UnreachableError, match="does not answer"):
        connect(replace(run, supervisor=gone, started_at=time.time()))


@pytest.mark.parametrize("unread", [b"", b"a question"], ids=["end of file", "reset"])
def test_a_run_that_ends_before_it_answers_is_said_to_have_ended_however_the_kernel_tells(unread):
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(unread)
        theirs.close()
        for talk in (client.read_line, lambda connection: client.send(connection, Ask(protocol.STATUS))):
            with pytest.raises(UnreachableError, match="the run ended before it answered") as caught:
                talk(ours)
            assert caught.value.hint == "`devrun logs`"


def test_who_got_ready_after_the_time_was_up_is_said_to(run, monkeypatch):
    services = (ServiceStatus("web", "ready", ready=True), ServiceStatus("seed", "exited", exit_code=0))
    monkeypatch.setattr(lateness, "ask", lambda *_, **__: Answer(services=services))
    with open_state() as state:
        late = lateness.explain_late(state, run, (), 2)
    assert (late.exit_code, late.message, late.last_lines) == (124, "not ready after 2 s, but a moment later", ())


def test_who_is_late_is_not_asked_for_as_long_as_for_an_answer(listener, run, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_PATIENCE", 1000)
    monkeypatch.setattr(lateness, "EXPLAIN_PATIENCE", PATIENCE)
    with open_state() as state:
        late = lateness.explain_late(state, run, (), 2)
    assert (late.exit_code, late.message) == (124, "not ready after 2 s: the run in `/w` does not answer")


def test_a_loan_is_not_taken_for_ever(listener, run):
    with pytest.raises(SilentError):
        Loan(run, ("web",), (), grace=0)


@pytest.fixture
def lent(run, monkeypatch):
    """A loan, and the run's end of it."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(loan, "connect", lambda _: ours)
    monkeypatch.setattr(loan, "RETURN_PATIENCE", PATIENCE)
    theirs.sendall(encode(Answer()))
    with theirs, Loan(run, ("web",), (), grace=0) as taken:
        yield taken, theirs


def test_a_loan_is_not_given_back_for_ever(lent):
    taken, _ = lent
    with pytest.raises(NotReadyError):
        taken.give_back()
    assert taken.give_back() is None


def test_a_loan_of_a_run_that_hung_up_is_given_back(lent):
    taken, theirs = lent
    theirs.close()
    assert taken.give_back() is None


def test_what_the_run_says_at_the_end_of_a_loan_is_heard(lent):
    taken, theirs = lent
    theirs.sendall(encode(Answer(stopping=True)))
    answer = taken.give_back()
    assert answer is not None
    assert answer.stopping
