"""Run somebody else's command (git, a registry's) bounded in time and in words, and leave nothing of it behind.

It gets a session of its own, so that whatever it forked is known when it has to be stopped: it took
too long, it said too much, or devrun itself was asked to end.  Then every member of that session is
stopped, by identity; the leader is our child and not reaped before, so the number is its own.  A
command that ended by itself is not waited for any longer because a daemon it started still holds its
output; that daemon is left alone.  One that is shown to people stays at their terminal, and goes with
its descendants.

`subprocess` is imported by whoever runs something: most starts, guards and sweeps have nothing to ask.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from devrun.model import Classified, KillPlan, ProcessRecord, ProcessSnapshot, Verdict

if TYPE_CHECKING:
    import subprocess

_LOOK = 0.02
"""Seconds of silence after which the command is asked whether it has ended; its daemons may hold the output."""
_LARGEST_COMPLAINT = 1 << 16
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_LAST_WORDS = 5.0
"""Seconds to end by itself when devrun is interrupted: git removes the checkout it has half made, which
takes its time with a large one; longer, and a wedged one holds up whoever pressed Ctrl-C."""


class TooLongError(Exception):
    """The command said more than anybody wants to hear."""


class Finished(NamedTuple):
    """Exit code and output of a command that ran to its end; of stderr the first 64 kB."""

    code: int
    stdout: bytes
    stderr: bytes


def run_bounded(
    words: Sequence[str], *, cwd: str, environment: Mapping[str, str], until: float | None, largest: int
) -> Finished:
    """Run a command until it has ended, at most until `until` (monotonic), with at most `largest` bytes on stdout.

    Raises OSError when it cannot be started, TimeoutError, TooLongError; then nothing of it is left.
    """
    import subprocess

    child = None
    grace = _LAST_WORDS
    try:
        with _signals_held():
            child = subprocess.Popen(
                list(words),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        stdout, stderr = _listen(child, until, largest)
        code = child.wait(None if until is None else max(0.0, until - time.monotonic()))
    except (TimeoutError, TooLongError):
        grace = 0.0
        raise
    except subprocess.TimeoutExpired as error:
        grace = 0.0
        raise TimeoutError from error
    finally:
        if child is not None:
            _end(child, lambda snapshot, pid: snapshot.session(pid), grace)
    return Finished(code, stdout, stderr)


def run_shown(words: Sequence[str], *, cwd: str, environment: Mapping[str, str]) -> int:
    """Run a command for as long as it takes, all of its output on stderr; return its exit code.

    Raises OSError when it cannot be started.
    """
    import subprocess

    child = None
    try:
        with _signals_held():
            child = subprocess.Popen(list(words), cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=2)
        return child.wait()
    finally:
        if child is not None:
            _end(child, lambda snapshot, pid: (*snapshot.lineage(pid)[:1], *snapshot.descendants(pid)), _LAST_WORDS)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Deliver what asks devrun to end when the block is done: raised in the middle of it, a child would be lost."""
    came: list[int] = []
    handlers = {each: found for each in _ASKING if callable(found := signal.getsignal(each))}
    try:
        for each in handlers:
            signal.signal(each, lambda signum, _frame: came.append(signum))
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    for signum in came:
        handlers[signal.Signals(signum)](signum, None)


def _listen(child: subprocess.Popen[bytes], until: float | None, largest: int) -> tuple[bytes, bytes]:
    """Return what the command says until it closes its outputs, or has ended."""
    assert child.stdout is not None  # noqa: S101 - for the type checker: both are pipes
    assert child.stderr is not None  # noqa: S101 - the same
    said = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    answer, complaint = said.values()
    poll = select.poll()
    for descriptor in said:
        poll.register(descriptor, select.POLLIN)
    is_open = len(said)
    while is_open:
        events = poll.poll(_LOOK * 1000)
        for descriptor, _ in events:
            chunk = os.read(descriptor, 1 << 16)
            said[descriptor] += chunk
            if not chunk:
                poll.unregister(descriptor)
                is_open -= 1
        if len(answer) > largest:
            raise TooLongError
        del complaint[_LARGEST_COMPLAINT:]
        if not events and child.poll() is not None:
            break
        if until is not None and time.monotonic() >= until:
            raise TimeoutError
    return bytes(answer), bytes(complaint)


Members = Callable[[ProcessSnapshot, int], Iterable[ProcessRecord]]


def _end(child: subprocess.Popen[bytes], members: Members, grace: float) -> None:
    """Stop the members of a command that has not ended, newcomers included, and close its pipes."""
    if child.returncode is None:  # not reaped either: the number is still its own
        from devrun.system.control import SystemControl
        from devrun.system.execute import drive, execute
        from devrun.system.processes import read_snapshot

        def plan() -> KillPlan:
            why = "belongs to a command that was cut off"
            found = [each for each in members(read_snapshot(), child.pid) if not each.is_zombie]
            return KillPlan(steps=tuple(Classified(each, Verdict.STOP, "bounded", why) for each in reversed(found)))

        drive(execute(plan(), SystemControl(), deadline=time.monotonic() + grace, rescan=plan))
        child.poll()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
