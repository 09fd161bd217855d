"""Start a program in a session of its own, with nothing of ours but what it is given.

One fork from the single-threaded main thread; `subprocess` is not used because it reaps on its own
and cannot make a terminal the controlling one.  Between fork and exec the child leaves the session,
takes its terminal, moves its descriptors into place, closes all others, and puts every signal back
to its default (nohup and `&` hand down ignored signals, and those survive exec: signal(7)).  A limit
of open files that was raised is given back, too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from devrun.errors import DevrunError, reason_of

_FIRST_FREE = 10  # where descriptors are parked while 0, 1, 2, … are filled; above any target, below any limit
_MAY_BE_OPEN = 64  # looked at one by one where the system does not list what is open
_MAX_REPORT = 512
_ENOUGH = 8192
"""Open files that a supervisor may want: five a service.  macOS gives 256 to begin with; beyond 10 240 it
gives nobody more, and where there is no close_range(2) a child closes all of them one by one."""

_inherited: tuple[int, int] | None = None
"""The limit of open files before it was raised."""


class SpawnError(OSError):
    """The program could not be started; `strerror` says why and `filename` names what."""


class Spawn(Struct, frozen=True):
    """What to start.  `descriptors` maps the child's number to ours; 0, 1 and 2 are required.

    `terminal` is the descriptor (ours) of a pty's slave that becomes the controlling terminal.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    descriptors: Mapping[int, int]
    terminal: int | None = None
    new_session: bool = True


def raise_descriptor_limit() -> None:
    """Let this process have as many files open as many services need; what `spawn` starts has the old limit."""
    global _inherited  # noqa: PLW0603 - one process, one limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # then it is as it was
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _inherited = soft, hard


def close_inherited() -> None:
    """Close what this process was given beyond 0, 1 and 2; what it opened itself stays.

    What Python opens is close-on-exec (PEP 446), so what is not was there before.
    """
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        names = [str(number) for number in range(_MAY_BE_OPEN)]
    for descriptor in map(int, names):
        with contextlib.suppress(OSError):  # the folder that was listed is closed by now
            if descriptor > 2 and os.get_inheritable(descriptor):  # noqa: PLR2004 - stderr is the last of the three
                os.close(descriptor)


def fork(blocked: Iterable[signal.Signals] = ()) -> int:
    """Fork devrun itself; raise DevrunError where the system has no process left (fork(2): EAGAIN, ENOMEM).

    In the child what is `blocked` meanwhile stays so until it waits for signals.  Raised in the middle of
    what Python does after a fork one would be lost, and later it would take the way out of the parent.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    pid = -1
    try:
        pid = os.fork()
    except OSError as error:
        message = f"no process can be started: {reason_of(error)}"
        raise DevrunError(message, hint="`ulimit -u`, and `devrun ps --all`") from error
    finally:
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def spawn(request: Spawn, /) -> int:
    """Start the program and return its pid once it has been exec'ed.

    Raises SpawnError when the working folder or the program cannot be used; the child is reaped.  Raises
    OSError when there are no descriptors or processes left.
    """
    try:
        cwd, arguments = os.fsencode(request.cwd), [os.fsencode(word) for word in request.argv]
        environment = {os.fsencode(key): os.fsencode(value) for key, value in request.environment.items()}
    except UnicodeEncodeError as error:  # half a surrogate pair: of no file system, and of no program's words
        raise SpawnError(errno.EILSEQ, os.strerror(errno.EILSEQ), request.argv[0]) from error
    report_reader, report_writer = os.pipe()
    with open(report_reader, "rb") as report:
        try:
            pid = _fork_and_become(request, cwd, arguments, environment, report_writer)
        finally:
            os.close(report_writer)
        failure = report.read(_MAX_REPORT)
    if not failure:
        return pid
    os.waitpid(pid, 0)
    number, _, name = failure.partition(b" ")
    raise SpawnError(int(number), os.strerror(int(number)), os.fsdecode(name))


def _fork_and_become(
    request: Spawn, cwd: bytes, argv: Sequence[bytes], environment: Mapping[bytes, bytes], report: int
) -> int:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:  # a signal in the child before the reset would run the parent's handler there
        pid = os.fork()
        if pid == 0:
            _become(request, cwd, argv, environment, report)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become(request: Spawn, cwd: bytes, argv: Sequence[bytes], environment: Mapping[bytes, bytes], report: int) -> None:
    """In the child: never returns."""
    subject = cwd
    try:
        if request.new_session:
            os.setsid()
        if request.terminal is not None:
            fcntl.ioctl(request.terminal, termios.TIOCSCTTY, 0)
        os.chdir(cwd)
        subject = argv[0]
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        _place_descriptors(request.descriptors, report)
        if _inherited is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, _inherited)
        reset_signals()
        os.execve(argv[0], list(argv), dict(environment))  # noqa: S606 - a shell is the caller's choice
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word, a `=` in a variable's name
        number = error.errno if isinstance(error, OSError) else None
        os.write(report, (b"%d %s" % (number or errno.EINVAL, subject))[:_MAX_REPORT])
    finally:
        os._exit(127)


def _place_descriptors(descriptors: Mapping[int, int], keep: int) -> None:
    parked = {target: fcntl.fcntl(source, fcntl.F_DUPFD, _FIRST_FREE) for target, source in descriptors.items()}
    for target, source in parked.items():
        os.dup2(source, target)
    os.closerange(max(descriptors) + 1, keep)
    os.closerange(keep + 1, _descriptor_limit())


def _descriptor_limit() -> int:
    try:
        return os.sysconf("SC_OPEN_MAX")
    except (OSError, ValueError):
        return 4096


def reset_signals() -> None:
    """Put every signal back to its default disposition and unblock all."""
    for signum in signal.valid_signals():
        try:
            signal.signal(signum, signal.SIG_DFL)
        except (OSError, ValueError):  # KILL, STOP, and what the C library keeps for itself
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
