"""Wait for children: those we started and those the kernel gave us (subreaper).

An anchor is waited for only when its tree is empty: until then its zombie keeps the session and
group number from being given to a stranger.  Everybody else is waited for as soon as it ends.
"""

from __future__ import annotations

from collections.abc import Callable

from devrun.system import waiting
from devrun.system.processes import read_snapshot


class Children:
    """The table of pids somebody waits for, with what to do when they end."""

    def __init__(self) -> None:
        self._watched: dict[int, Callable[[int], None]] = {}
        self._kept: set[int] = set()

    def watch(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call `callback(status)` when `pid` ends; status is 128 + n when signal n ended it."""
        self._watched[pid] = callback

    def keep(self, pid: int) -> None:
        """Leave `pid` unwaited for until it is released."""
        self._kept.add(pid)

    def release(self, pid: int) -> bool:
        """Wait for a kept child; return whether it has ended (else it is reaped when it does)."""
        self._kept.discard(pid)
        return self._reap(pid)

    def reap(self) -> None:
        """Wait for every ended child that nobody keeps.  Call after SIGCHLD."""
        for pid in tuple(self._watched):
            if pid not in self._kept:
                self._reap(pid)
        while (ended := waiting.find_ended_child()) is not None:
            if ended in self._kept:
                break  # it would be found again and again, and hide the others
            self._reap(ended)
        else:
            return
        snapshot = read_snapshot()  # rare: an anchor was killed from outside and its tree lives on
        for child in snapshot.children(snapshot.self_pid):
            if child.pid not in self._kept:
                self._reap(child.pid)

    def _reap(self, pid: int) -> bool:
        try:
            code = waiting.reap(pid)
        except ChildProcessError:
            return True
        if code is None:
            return False
        callback = self._watched.pop(pid, None)
        if callback is not None:
            callback(code)
        return True
