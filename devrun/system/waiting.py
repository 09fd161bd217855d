"""Wait for children that have ended or were stopped, without waiting for those that run (waitpid(2), waitid(2))."""

from __future__ import annotations

import os
import sys

BY_SIGNAL = 128


def reap(pid: int) -> int | None:
    """Wait for one child; return its exit code (128 + n when signal n ended it), None while it lives.

    Raises ChildProcessError when it is no child of ours, or has been waited for.
    """
    found, status = os.waitpid(pid, os.WNOHANG)
    if found != pid:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else BY_SIGNAL - code


def find_ended_child() -> int | None:
    """Return the pid of some child that has ended and was not waited for; it stays so.  None: there is none.

    Asks for children that nobody knows: those that the kernel gave to a subreaper.  Where there are
    no subreapers there are none (and macOS had no waitid(2) in Python before 3.13).
    """
    if sys.platform != "linux":
        return None
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid


def take_stopped_child() -> int | None:
    """Return the pid of some child that was stopped and was not told of yet.  None: there is none, or no waitid(2)."""
    if sys.platform != "linux":
        return None
    try:
        stopped = os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        return None
    return None if stopped is None else stopped.si_pid
