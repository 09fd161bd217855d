"""Talk to a live run: one question, one answer, over its control socket."""

from __future__ import annotations

import socket
import time

from devrun.errors import DevrunError, NotReadyError, reason_of
from devrun.model import RunRecord
from devrun.run.talk.peers import is_own_user
from devrun.run.talk.protocol import LONGEST_LINE, Answer, Ask, decode_answer, encode

CONNECT_PATIENCE = 5.0
"""Seconds for a supervisor to take a request: it may be in the middle of a guard.  Longer looks like
a hang; shorter calls a busy run unreachable."""
STARTING = 10.0
"""Seconds after its start in which a run may not listen yet: it is known a moment before, and starts its
services first.  Shorter fails two commands that were called at once; longer waits for nobody."""
ANSWER_PATIENCE = 10.0
"""Seconds for an answer that needs no waiting: the supervisor may be in the middle of a guard, on a
loaded machine.  Longer looks like a hang where somebody stopped it; shorter gives up on a busy one."""
_CHUNK = 65536
_POLL = 0.02


class UnreachableError(DevrunError):
    """The run is alive and its control socket does not answer."""


class SilentError(UnreachableError):
    """The run takes questions and says nothing: its supervisor hangs, or was stopped."""


def ask(run: RunRecord, question: Ask, *, timeout: float | None = None) -> Answer:
    """Ask a run and return its answer, waiting `timeout` seconds for it.

    Without a time-out, what is answered at once is waited for with patience, the rest for ever.
    Raises UnreachableError when nobody listens, VersionError when the two do not understand each
    other, SilentError or NotReadyError (124) at the time-out, and DevrunError with the run's own
    words when it refuses.
    """
    with connect(run) as connection:
        send(connection, question)
        if question.is_answered_at_once:
            line, _ = read_first_line(run, connection, timeout=timeout)
        else:
            line, _ = read_line(connection, timeout=timeout)
    answer = decode_answer(line)
    if answer.error is not None:
        raise DevrunError(answer.error, hint=answer.hint)
    return answer


def connect(run: RunRecord) -> socket.socket:
    """Return a connection to the run's control socket.  Raises UnreachableError."""
    if run.socket is None:
        raise UnreachableError(f"the run in `{run.worktree}` has no control socket", hint="`devrun down` ends it")
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_PATIENCE)
            connection.connect(run.socket)
            break
        except OSError as error:
            connection.close()
            if isinstance(error, FileNotFoundError) and _is_starting(run):
                time.sleep(_POLL)
                continue
            raise UnreachableError(
                f"the run in `{run.worktree}` does not answer: {reason_of(error)}", hint="`devrun down` ends it"
            ) from error
    if not is_own_user(connection):
        connection.close()
        raise UnreachableError(f"`{run.socket}` is another user's socket", hint="`devrun down` ends the run")
    return connection


def _is_starting(run: RunRecord) -> bool:
    """Tell whether a run may be about to listen: it is young, and its supervisor lives."""
    from devrun.system.processes import has_ended

    if not 0 <= time.time() - run.started_at < STARTING:
        return False
    return run.supervisor is not None and not has_ended(run.supervisor)


def send(connection: socket.socket, question: Ask) -> None:
    """Send a question.  Raises UnreachableError when the run hangs up meanwhile."""
    try:
        connection.sendall(encode(question))
    except OSError as error:
        raise _ended() from error


def read_first_line(run: RunRecord, connection: socket.socket, *, timeout: float | None = None) -> tuple[bytes, bytes]:
    """Return the answer that a run has ready, and what came after it.  Raises SilentError, UnreachableError."""
    try:
        return read_line(connection, timeout=ANSWER_PATIENCE if timeout is None else timeout)
    except NotReadyError as error:
        raise SilentError(f"the run in `{run.worktree}` does not answer", hint="`devrun down` ends it") from error


def read_line(connection: socket.socket, *, timeout: float | None = None) -> tuple[bytes, bytes]:
    """Return the answer line, and what came after it.

    Raises UnreachableError when the run hangs up first, NotReadyError at the time-out.
    """
    until = None if timeout is None else time.monotonic() + timeout
    received = b""
    while b"\n" not in received:
        connection.settimeout(None if until is None else max(0.001, until - time.monotonic()))
        try:
            chunk = connection.recv(_CHUNK)
        except TimeoutError as error:
            raise NotReadyError(f"no answer after {timeout:g} s", hint="`devrun ps`") from error
        except OSError as error:
            raise _ended() from error
        if not chunk or len(received) > LONGEST_LINE:
            raise _ended()
        received += chunk
    line, _, rest = received.partition(b"\n")
    return line, rest


def _ended() -> UnreachableError:
    """Return the same for an end of file as for a reset: the latter only says that a question was unread."""
    return UnreachableError("the run ended before it answered", hint="`devrun logs`")
