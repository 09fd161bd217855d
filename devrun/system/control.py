"""Signals: the only place that sends any, and always to an identity, never to a bare pid.

On Linux a pidfd is opened first, *then* the start token is compared (pidfd_open(2)): from there on
the descriptor means that process and no other, and a signal to one that has ended fails instead of
reaching a successor.  Where there is no pidfd (macOS, a sandbox that refuses the call, descriptors
exhausted) the token is compared again right before every signal; the gap between the two is some
microseconds, and a pid would have to come round to its value within it.

Pids 0 and below mean groups to kill(2), 1 is the system, and devrun does not signal itself: all
three are refused as bugs before anything is sent.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from devrun.model import ProcessIdentity
from devrun.system import processes

SPARED_DESCRIPTORS = 32
"""Left to everything else when many are held at once: a tree of thousands would take all there are, and
then nobody could be looked up any more.  Fewer end reading and the journal, more end pidfds early."""
POLL_SECONDS = 0.005
MAX_POLL_SECONDS = 0.04
"""Without a pidfd: first and longest pause between two looks; it doubles.  Smaller costs CPU (each look asks the
system about every process), larger shows as delay after Ctrl-C."""


class Handle:
    """A process held by identity.  A context manager; closing it leaves the process alone."""

    __slots__ = ("_ended", "_pidfd", "identity")

    def __init__(self, identity: ProcessIdentity, pidfd: int | None) -> None:
        self.identity = identity
        self._pidfd = pidfd
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Handle({self.identity.pid}, token={self.identity.start_token}, pidfd={self._pidfd})"

    def send(self, signum: int) -> bool:
        """Send one signal; False when the process has ended (a zombie has).  PermissionError passes through."""
        if self.is_gone():
            return False
        try:
            if sys.platform == "linux" and self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signum)
            else:
                os.kill(self.identity.pid, signum)
        except ProcessLookupError:
            self._ended = True
            return False
        return True

    def is_gone(self) -> bool:
        """Whether the process has ended.  A pidfd turns readable when its last thread has."""
        if not self._ended:
            if self._pidfd is None:
                self._ended = processes.has_ended(self.identity)
            else:
                poll = select.poll()
                poll.register(self._pidfd, select.POLLIN)
                self._ended = bool(poll.poll(0))
        return self._ended

    def fileno(self) -> int | None:
        """Return the pidfd, to be watched for reading; None when the system has none."""
        return self._pidfd

    def close(self) -> None:
        """Give the descriptor back.  Calling it twice is fine."""
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)


class SystemControl:
    """Open handles on real processes."""

    def open(self, identity: ProcessIdentity) -> Handle | None:
        """Return a handle on exactly this process, None when it is gone or its pid has a successor."""
        _refuse_nonsense(identity)
        pidfd = _open_pidfd(identity.pid)
        if processes.identify(identity.pid) != identity:
            if pidfd is not None:
                os.close(pidfd)
            return None
        return Handle(identity, pidfd)


class Watched(Protocol):
    """What waiting needs of a handle."""

    def is_gone(self) -> bool:
        """Whether the process has ended."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when it ends, None where there is none."""
        ...


def wait_for_one(handles: Iterable[Watched], until: float) -> None:
    """Return when one of `handles` has ended, or `until` (monotonic seconds) has passed."""
    poll = select.poll()
    blind: list[Watched] = []
    for handle in handles:
        descriptor = handle.fileno()
        if descriptor is None:
            blind.append(handle)
        else:
            poll.register(descriptor, select.POLLIN)
    step = POLL_SECONDS
    while True:
        left = max(0.0, until - time.monotonic())
        pause = min(left, step) if blind else left
        step = min(2 * step, MAX_POLL_SECONDS)
        if poll.poll(pause * 1000) or any(each.is_gone() for each in blind) or pause >= left:
            return


def send_to(identity: ProcessIdentity, signum: int) -> bool:
    """Send one signal to exactly this process; False when it has ended."""
    handle = SystemControl().open(identity)
    if handle is None:
        return False
    with handle:
        return handle.send(signum)


def pidfd_works() -> bool:
    """Whether processes can be held by descriptor here, found by trying (a sandbox may refuse either call)."""
    return not processes.is_portable() and _try_pidfd()


@functools.cache
def _try_pidfd() -> bool:
    if sys.platform != "linux":
        return False
    try:
        pidfd = os.pidfd_open(os.getpid())
    except (OSError, AttributeError):
        return False
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except (OSError, AttributeError):
        return False
    finally:
        os.close(pidfd)
    return True


def _open_pidfd(pid: int) -> int | None:
    if sys.platform == "linux" and pidfd_works():
        with contextlib.suppress(OSError):  # gone: the token will say so; descriptors exhausted: do without
            pidfd = os.pidfd_open(pid)
            if _is_affordable(pidfd):
                return pidfd
            os.close(pidfd)
    return None


def _is_affordable(descriptor: int) -> bool:
    """Whether enough others can still be opened: the kernel gives the lowest number that is free."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit == resource.RLIM_INFINITY or descriptor < limit - SPARED_DESCRIPTORS


def _refuse_nonsense(identity: ProcessIdentity) -> None:
    if identity.pid <= 1 or identity.pid == os.getpid():
        raise ValueError(f"pid {identity.pid} is never signalled")
