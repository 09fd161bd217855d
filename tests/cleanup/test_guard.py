"""Guard on real processes: who is stopped, who is named, and that the port is free afterwards."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import pytest

from devrun.cleanup import guard, target_of
from devrun.config.project import OnForeign, Service
from devrun.model import Listener, Outcome, PortSet, RunRecord, StepResult
from devrun.state import open_state
from devrun.state.runs import KEEPER_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id, identify
from devrun.system.sockets import can_bind, listeners_on
from devrun.worktrees.locate import locate
from tests.support.arena import free_base
from tests.support.leftovers import LISTENER, executable_named
from tests.support.processes import lives, wait_gone


@pytest.fixture
def here(repository):
    return locate(repository.path)


def a_target(port=None, *, match=None, force=False, on_foreign=OnForeign.REFUSE):
    service = Service("web", "x", "/", port=port, match=match, on_foreign=on_foreign)
    ports = PortSet(0, 0, {"web": {} if port is None else {"": port}})
    return target_of(service, ports, force=force)


def only(report):
    (service,) = report.services
    return service


@pytest.mark.parametrize("match", [None, "6c1d7f0e/start.js"])
def test_a_free_port_without_a_match_in_sight_costs_no_reading_of_the_table(state, here, match, monkeypatch):
    monkeypatch.setattr(sys.modules["devrun.cleanup.guard"], "Survey", None)
    service = only(guard(state, here, [a_target(1, match=match)]))
    assert not service.plan.steps
    assert not service.plan.spared


def test_a_stale_copy_on_the_port_is_stopped_and_the_port_is_free(state, here, listener, bystander):
    stale = listener(here.root)
    bystander(cwd=here.root)
    port = stale.facts["port"]
    service = only(guard(state, here, [a_target(port)]))
    assert [result.outcome for result in service.results] == [Outcome.TERMINATED]
    assert not service.is_blocked
    assert not lives(stale.process)
    assert can_bind(port)
    assert only(guard(state, here, [a_target(port)])).results == ()


def test_a_port_that_outlives_its_holder_by_a_moment_is_waited_for(state, here, listener, monkeypatch):
    stale = listener(here.root)
    port = stale.facts["port"]
    readings = []

    def read(ports):
        readings.append(listeners_on(ports))
        return (Listener(port, "127.0.0.1"),) if len(readings) in {2, 3} else readings[-1]

    monkeypatch.setattr(
        sys.modules["devrun.cleanup.guard"], "listeners_on", read
    )  # the package has a function so named
    service = only(guard(state, here, [a_target(port)]))
    assert not service.is_blocked
    assert len(readings) == 4
    assert not lives(stale.process)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_holder_that_ends_between_two_readings_is_in_nobodys_way(state, here, processes, monkeypatch, dry_run):
    gone = processes.popen(["true"])
    gone.wait()
    readings = []

    def read(ports):
        readings.append(listeners_on(ports))
        return readings[-1] if len(readings) > 1 else tuple(Listener(port, "127.0.0.1", gone.pid) for port in ports)

    monkeypatch.setattr(sys.modules["devrun.cleanup.guard"], "listeners_on", read)
    service = only(guard(state, here, [a_target(free_base())], dry_run=dry_run))
    assert (service.is_blocked, service.message, len(readings)) == (False, None, 2)


def test_a_port_that_somebody_has_without_listening_is_refused_as_held_by_nobody_we_see(state, here):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for dry_run in (True, False):
            service = only(guard(state, here, [a_target(port)], dry_run=dry_run))
            assert (service.is_blocked, service.hidden) == (True, (port,))
            assert "not visible" in service.message


def test_a_loser_of_the_port_race_that_survives_is_in_the_way(state, here, server, monkeypatch):
    spinner = server(here.root, "ready(); rest()", "mint/start.js")

    def survived(plan, **_):
        yield from ()
        return tuple(StepResult(step, Outcome.SURVIVED) for step in plan.steps)

    monkeypatch.setattr(sys.modules["devrun.cleanup.guard"], "carry_out", survived)
    report = guard(state, here, [a_target(match="mint/start.js")])
    assert [each.step.record.pid for each in report.survivors] == [spinner.pid]
    assert only(report).is_blocked
    assert str(spinner.pid) in only(report).message


def test_the_dry_run_is_the_same_plan_and_touches_nothing(state, here, listener):
    stale = listener(here.root)
    service = only(guard(state, here, [a_target(stale.facts["port"])], dry_run=True))
    assert [step.record.pid for step in service.plan.steps] == [stale.pid]
    assert service.results == ()
    assert not service.is_blocked
    assert lives(stale.process)


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_the_loser_of_the_port_race_is_a_stale_copy_without_a_listener(state, here, processes, server, relative):
    script = os.path.join(here.root, "mint", "start.js")
    os.makedirs(os.path.dirname(script))
    link = os.path.join(here.root, ".bin-mint")
    with open(script, "w", encoding="utf-8") as file:
        file.write("import os, signal\nos.write(int(os.environ['READY']), b'{}\\n')\nos.chdir('/')\nsignal.pause()\n")
    os.symlink(script, link)
    reader, writer = os.pipe()
    import subprocess

    env = {"PATH": os.environ["PATH"], "PWD": here.root, "READY": str(writer)}
    spinner = processes.popen(
        [sys.executable, os.path.basename(link) if relative else link, "dev"],
        cwd=here.root,
        env=env,
        pass_fds=[writer],
        start_new_session=True,
    )
    assert isinstance(spinner, subprocess.Popen)
    assert os.read(reader, 3) == b"{}\n"
    os.close(reader), os.close(writer)
    talker = server(here.root, "ready(); rest()", "a prompt about mint/start.js dev")
    service = only(guard(state, here, [a_target(match="mint/start.js dev")]))
    assert [step.record.pid for step in service.plan.steps] == [spinner.pid]
    assert "started-here" in {each.rule for each in service.plan.steps[0].evidence}
    assert spinner.wait(10) == -signal.SIGTERM
    assert lives(talker.process)


def test_the_docs_server_of_a_worktree_that_is_gone_is_stopped_though_it_moved_home(state, repository, here, server):
    paths = [repository.worktree(name, os.path.join(repository.path, ".worktrees", name)) for name in ("gone", "alive")]
    children = [server(path, "os.chdir('/'); ready(); rest()", "mint/start.js", env={"PWD": path}) for path in paths]
    repository.remove(paths[0])
    service = only(guard(state, here, [a_target(match="mint/start.js")]))
    assert [result.step.record.pid for result in service.results] == [children[0].pid]
    assert lives(children[1].process)


def test_the_server_of_another_repository_is_a_stranger_though_its_pwd_is_ours(state, here, make_repository, listener):
    other = make_repository("other")
    theirs = listener(other.path, env={"PWD": here.root, "INIT_CWD": here.root})  # as `make -C ../other dev` starts it
    service = only(guard(state, here, [a_target(theirs.facts["port"])]))
    assert [each.reason for each in service.blockers] == ["stranger"]
    assert lives(theirs.process)


def test_a_siblings_server_is_refused_and_named(state, repository, here, listener):
    sibling = repository.worktree("feature-x")
    theirs = listener(sibling)
    for force in (False, True):
        service = only(guard(state, here, [a_target(theirs.facts["port"], force=force)]))
        assert service.is_blocked
        assert service.blockers[0].reason == "live-worktree"
        for word in (str(theirs.pid), sibling, "feature-x", "since"):
            assert word in service.message
    assert lives(theirs.process)


def test_a_stranger_is_refused_and_stopped_only_when_that_was_asked_for(state, here, listener, tmp_path):
    stranger = listener(tmp_path)
    port = stranger.facts["port"]
    service = only(guard(state, here, [a_target(port)]))
    assert service.is_blocked
    assert "--force" in service.hint
    assert lives(stranger.process)
    service = only(guard(state, here, [a_target(port, on_foreign=OnForeign.STOP)]))
    assert not service.is_blocked
    assert not lives(stranger.process)


def test_a_stranger_that_is_no_runtime_is_stopped_by_force_but_an_agent_never(state, here, processes, tmp_path):
    import json
    import subprocess

    def listen_as(name):
        reader, writer = os.pipe()
        program = (
            f"READY={writer}\nimport json, os, signal, socket, sys\ndef ready(**f): os.write(READY, (json.dumps(f)+chr(10)).encode())\n"
            "def rest():\n    while True: signal.pause()\n" + LISTENER
        )
        child = processes.popen(
            [name, "-I", "-c", program], executable=executable_named(tmp_path, name), cwd=tmp_path, pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            return child, json.loads(answers.readline())["port"]

    agent, port = listen_as("claude")
    service = only(guard(state, here, [a_target(port, force=True)]))
    assert service.blockers[0].reason == "agent"
    assert agent.poll() is None


def test_a_live_run_of_this_worktree_is_already_running(state, here, listener):
    with FileLock.take(os.path.join(state.runs.make_folder("r1"), KEEPER_LOCK)):
        stamp = {"run": "r1", "service": "web", "worktree": here.root, "state_dir": state.path}
        running = listener(here.root, stamp=stamp)
        state.runs.publish(RunRecord("r1", here.root, here.identity, None, None, boot_id(), time.time()))
        service = only(guard(state, here, [a_target(running.facts["port"], force=True)]))
        assert "already running" in service.message
        assert lives(running.process)
        anchored = RunRecord(
            "r1", here.root, here.identity, None, None, boot_id(), 0.0, groups={"web": identify(running.pid)}
        )
        state.runs.publish(anchored)
        assert only(guard(state, here, [a_target()])).message.startswith("`web` is already running")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_of_this_worktree_that_starts_between_two_readings_is_already_running(
    state, here, listener, staged_run, monkeypatch, dry_run
):
    readings = []
    port = free_base()

    def read(ports):
        readings.append(listeners_on(ports))
        if len(readings) == 1:
            running.append(listener(here.root, str(port), stamp=staged_run("r1", here.root).stamp))
        return readings[-1]

    running = []
    monkeypatch.setattr(sys.modules["devrun.cleanup.guard"], "listeners_on", read)
    service = only(guard(state, here, [a_target(port)], dry_run=dry_run))
    assert "already running" in service.message
    assert lives(running[0].process)


def test_a_stale_copy_that_ignores_term_is_killed_within_the_grace(state, here, server):
    port_of = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" + LISTENER
    stale = server(here.root, port_of)
    service = only(guard(state, here, [a_target(stale.facts["port"])], grace=0.2))
    assert [result.outcome for result in service.results] == [Outcome.KILLED]
    assert not service.is_blocked


def test_a_stale_copy_in_a_persons_terminal_is_stopped_and_the_shell_lives(state, here, terminal):
    program = f"import socket, signal, sys\n{LISTENER}".replace("ready(port=", "print('port', ").replace(
        "; rest()", "; sys.stdout.flush(); signal.pause()"
    )
    import shlex
    import sys

    shell = terminal(["bash", "--norc"], cwd=here.root, env={**os.environ, "PS1": "$ "})
    shell.type(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}\n")
    port = int(shell.read_until(r"^port (\d+)").group(1))
    service = only(guard(state, here, [a_target(port)]))
    assert len(service.results) == 1
    assert lives(shell.process)


def test_a_port_held_on_ipv6_only_is_held(state, here, server):
    code = (
        "s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1);"
        "s.bind(('::1', 0)); s.listen(); ready(port=s.getsockname()[1]); rest()"
    )
    stale = server(here.root, code)
    service = only(guard(state, here, [a_target(stale.facts["port"])]))
    assert not service.is_blocked
    assert not wait_gone([stale.process], 5)


def test_several_services_are_guarded_at_once_and_each_process_stops_once(state, here, listener):
    one, two = listener(here.root), listener(here.root)
    targets = []
    for name, child in (("web", one), ("api", two)):
        service = Service(name, "x", "/", port=child.facts["port"])
        targets.append(target_of(service, PortSet(0, 0, {name: {"": child.facts["port"]}})))
    report = guard(state, here, targets)
    assert len(report.results) == 2
    assert not report.blocked


def test_stops_and_refusals_are_remembered(state, here, listener, tmp_path):
    stale, stranger = listener(here.root), listener(tmp_path)
    guard(state, here, [a_target(stale.facts["port"])])
    guard(state, here, [a_target(stranger.facts["port"])])
    with open_state(create=False) as reader:
        rows = {row.pid: row for row in reader.journal.history()}
    assert (rows[stale.pid].verb, rows[stale.pid].outcome) == ("guard", "terminated")
    assert (rows[stranger.pid].action, rows[stranger.pid].reason) == ("spare", "stranger")
