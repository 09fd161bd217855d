r"""Run one command in the foreground as a shell would: same terminal, same group, its exit code, signals passed on.

What a key sends (Ctrl-C, Ctrl-\, a closed window) reaches the command by itself, as a member of the
terminal's foreground group; passing it on as well would make it two.  Only what another process
sent is passed on: on Linux the signal itself tells (si_code, sigaction(2)); elsewhere what is
usually sent by keys is taken for it while this is the foreground group.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

from devrun.errors import CommandNotFoundError, DevrunError, reason_of
from devrun.interrupt import never_called
from devrun.system import waiting
from devrun.system.control import send_to
from devrun.system.processes import identify

_FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
)
_FROM_KEYS = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python itself, and that would survive exec


class NotExecutableError(DevrunError):
    """The CMD of `exec` or `run` exists and cannot be executed."""

    exit_code = 126


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """Return the path of a command as a shell finds it; raise CommandNotFoundError (127) or NotExecutableError."""
    search = environment.get("PATH", os.defpath)
    found = shutil.which(name, path=search)
    if found is not None:
        return found
    if shutil.which(name, mode=os.F_OK, path=search) is not None:
        raise NotExecutableError(f"`{name}` cannot be executed", hint=f"`chmod +x {name}`")
    raise CommandNotFoundError(f"there is no command `{name}`", hint="`devrun run -- sh -c '…'` for shell syntax")


def become(argv: Sequence[str], environment: Mapping[str, str], *, cwd: str | None = None) -> None:
    """Replace this process by the command; only returns by raising."""
    if cwd is not None:
        os.chdir(cwd)
    program = find_program(argv[0], environment)
    for signum in _RESTORED:
        signal.signal(signum, signal.SIG_DFL)
    try:
        os.execve(program, list(argv), dict(environment))  # noqa: S606 - a shell is the caller's choice
    except OSError as error:
        raise _cannot_execute(argv[0], error) from error


def run_command(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end; return its exit code, 128 + n when signal n ended it."""
    program = find_program(argv[0], environment)
    waited = {signal.SIGCHLD, *(each for each in _FORWARDED if signal.getsignal(each) is not signal.SIG_IGN)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    noticed = {each: signal.signal(each, never_called) for each in waited if signal.getsignal(each) is signal.SIG_DFL}
    try:
        pid = os.posix_spawn(program, list(argv), dict(environment), setsigmask=before, setsigdef=_RESTORED)
        return _wait(pid, waited)
    except OSError as error:
        raise _cannot_execute(argv[0], error) from error
    finally:
        for each, handler in noticed.items():
            signal.signal(each, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(pid: int, waited: set[signal.Signals]) -> int:
    child = identify(pid)
    while True:
        signum, is_from_keys = _next_signal(waited)
        if signum == signal.SIGCHLD:
            code = waiting.reap(pid)
            if code is not None:
                return code
        elif child is not None and not is_from_keys:
            send_to(child, signum)


def _next_signal(waited: set[signal.Signals]) -> tuple[signal.Signals, bool]:
    """Wait for a signal; return it, and whether the terminal has sent it to the whole group."""
    if sys.platform == "linux":
        found = signal.sigwaitinfo(waited)
        return signal.Signals(found.si_signo), found.si_code > 0
    signum = signal.Signals(signal.sigwait(waited))
    return signum, signum in _FROM_KEYS and _is_in_foreground()


def _is_in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _cannot_execute(name: str, error: OSError) -> DevrunError:
    if error.errno == errno.ENOENT:  # the program is there: its interpreter is not
        return CommandNotFoundError(f"`{name}` cannot be executed: its interpreter is missing")
    return NotExecutableError(f"`{name}` cannot be executed: {reason_of(error)}")
