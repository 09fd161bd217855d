"""The keeper: the process people see.  It starts the supervisor, forwards signals, and waits.

It does no work of its own, so there is little that can end it; and it is a subreaper, so that when
the supervisor dies, even by SIGKILL, every descendant of the run becomes the keeper's child.  It
then hands them to the one decision and stops them.

Signals are blocked and taken by sigwait: none is lost between two lines of code, and an idle keeper
never wakes.  What was ignored when devrun started (nohup) stays ignored.  SIGTSTP and SIGCONT are
left alone: Ctrl-Z stops the keeper only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from devrun.errors import DevrunError, exhausted
from devrun.interrupt import ASKING, never_called
from devrun.model import ProcessIdentity
from devrun.run import layers
from devrun.run.plan import STOP_MARGIN, RunResult, decode_result, encode_result
from devrun.system import waiting
from devrun.system.control import send_to
from devrun.system.kernel import become_subreaper
from devrun.system.processes import identify
from devrun.system.spawn import fork

STOPPING = signal.SIGUSR1
"""From the supervisor: it has begun to stop, or, with every service down, its last look around.  The
time it may take runs from now: one that is slow on a busy machine is not one that hangs."""

WRITING = signal.SIGUSR2
"""From the supervisor: every process is gone, a slow reader of the output is waited for.  That may
take as long as it takes, until somebody asks for the end."""

_FORWARDED = (*ASKING, signal.SIGWINCH)
_WAITED = (*_FORWARDED, signal.SIGCHLD, signal.SIGALRM, STOPPING, WRITING)


def block_signals() -> frozenset[signal.Signals]:
    """Block what the keeper waits for; return that set.  What asks for an end and was ignored at start is left out.

    What devrun tells itself is never left out: of a parent that ignores SIGCHLD, for one, that is
    inherited, and then nobody would say that the supervisor has ended.
    """
    ignored = {each for each in _FORWARDED if signal.getsignal(each) is signal.SIG_IGN}
    waited = frozenset(_WAITED) - ignored
    for each in waited:  # a pending signal that is ignored or default-ignored would be thrown away
        signal.signal(each, never_called)
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    return waited


class Cleared(NamedTuple):
    """What a clean-up after the supervisor came to: how many were stopped, and a line for each that is left."""

    stopped: int = 0
    left: tuple[str, ...] = ()


class Keeper:
    """Waits for a supervisor, and clears up after one that cannot."""

    def __init__(self, grace: float, *, clear: Callable[[ProcessIdentity | None], Cleared]) -> None:
        """`grace` is the longest any service may take to end, in seconds.

        `clear` stops whatever is left of the run of this supervisor.
        """
        self._grace = grace
        self._clear = clear
        self._is_timed = False

    def keep(self, start: Callable[[int], RunResult], *, on_forked: Callable[[], None]) -> RunResult:
        """Fork the supervisor, wait for it, return how the run ended.

        `start` runs in the child with the read end of a pipe whose end of file says that the keeper
        is gone; it returns the result of the run.  `on_forked` is called here, after the fork.
        """
        waited = block_signals()
        if layers.is_on(layers.KEEPER):
            become_subreaper()
        life_reader, life_writer = os.pipe()
        report = _nameless_file()
        pid = fork()
        if pid == 0:
            os.close(life_writer)
            _supervise(start, life_reader, report)
        os.close(life_reader)
        on_forked()
        os.chdir("/")
        supervisor = identify(pid)
        status = self._wait(pid, supervisor, waited)
        with open(report, "rb") as reader:
            reader.seek(0)
            result = decode_result(reader.read())
        os.close(life_writer)
        if status == 0 and result is not None:
            return result
        return self._clear_up(status, supervisor, result)

    def _wait(self, pid: int, supervisor: ProcessIdentity | None, waited: frozenset[signal.Signals]) -> int:
        """Forward signals until the supervisor has ended; kill one that does not end in time."""
        while True:
            signum = _take_signal(waited, pid)
            if signum == signal.SIGCHLD:
                _reap_others(pid)
                code = waiting.reap(pid)
                if code is not None:
                    return code
            elif supervisor is None:
                continue
            elif signum == signal.SIGALRM:
                send_to(supervisor, signal.SIGKILL)
            elif signum in _FORWARDED:
                send_to(supervisor, signum)
            if signum == WRITING:
                self._stop_clock()
            elif signum == STOPPING or signum in ASKING:
                self._start_clock(again=signum == STOPPING)

    def _start_clock(self, *, again: bool) -> None:
        """Have SIGALRM say when the supervisor has had its time; a clock that runs is left alone unless `again`."""
        if again or not self._is_timed:
            self._is_timed = True
            signal.setitimer(signal.ITIMER_REAL, self._grace + STOP_MARGIN)

    def _stop_clock(self) -> None:
        self._is_timed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _clear_up(self, status: int, supervisor: ProcessIdentity | None, said: RunResult | None) -> RunResult:
        """Stop what the supervisor left; return its last words, if it had any, with what became of the rest."""
        stopped, left = self._clear(supervisor) if layers.is_on(layers.KEEPER) else Cleared()
        if said is None:
            word = f"signal {status - waiting.BY_SIGNAL}" if status > waiting.BY_SIGNAL else f"exit code {status}"
            said = RunResult(status or 1, f"the supervisor ended with {word}", is_error=True)
        elif not stopped:
            return msgspec.structs.replace(said, last_lines=(*said.last_lines, *left))
        count = "1 process it left was" if stopped == 1 else f"{stopped} processes it left were"
        return msgspec.structs.replace(
            said,
            message=f"{said.message}; {count} stopped",
            hint=said.hint or ("`devrun history` lists them" if stopped else None),
            last_lines=(*said.last_lines, *left),
        )


def _take_signal(waited: frozenset[signal.Signals], supervisor: int) -> int:
    """Wait for a signal.  What only the supervisor or the own timer says is passed over from anybody else.

    `kill -USR1` is how people open node's inspector, and it reaches the keeper where they aim at a
    whole tree.  Where there is no sigwaitinfo (macOS) the sender is not known, and believed.
    """
    if sys.platform == "darwin":
        return signal.sigwait(waited)
    while True:
        heard = signal.sigwaitinfo(waited)
        sender = {STOPPING: supervisor, WRITING: supervisor, signal.SIGALRM: 0}.get(signal.Signals(heard.si_signo))
        if sender in (None, heard.si_pid):
            return heard.si_signo


def _reap_others(supervisor: int) -> None:
    """Wait for adopted children that ended; the supervisor itself is not touched."""
    while (ended := waiting.find_ended_child()) is not None and ended != supervisor:
        waiting.reap(ended)


def _supervise(start: Callable[[int], RunResult], life: int, report: int) -> None:
    """In the forked supervisor: never returns.  A crash is told to the keeper, which clears up."""
    code = 70
    try:
        _tell(report, start(life))
        code = 0
    except BaseException as error:  # noqa: BLE001 - the boundary of this process
        last_words = explain(error, "supervisor")
        code = last_words.exit_code
        _tell(report, last_words)
    finally:
        os._exit(code)


def explain(error: BaseException, who: str) -> RunResult:
    """Return the last words of a part of devrun that an error ended; what nobody expected gets a report."""
    failure = exhausted(error)
    if isinstance(error, DevrunError):  # the run could not be published, say: a full disk is no bug
        failure = error
    if failure is None:
        from devrun.report.crash import report_bug

        failure = report_bug(error, [who])
    return RunResult(failure.exit_code, failure.message, hint=failure.hint, is_error=True)


def _tell(report: int, result: RunResult) -> None:
    with contextlib.suppress(OSError), open(report, "wb", closefd=False) as writer:  # no room: the exit code says it
        writer.write(encode_result(result))


def _nameless_file() -> int:
    """Open a file that nobody else has: what is said in it waits for its reader, where a long word fills a pipe."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox
            return os.memfd_create("devrun")
    import tempfile

    handle, path = tempfile.mkstemp(prefix="devrun-")
    os.unlink(path)
    return handle
