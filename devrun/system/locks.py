"""Locks that die with their holder: `flock` on a file, and the question whether somebody holds it.

A lock is never unlocked by hand: one explicit LOCK_UN in any copy of the descriptor would free it
for all (flock(2)).  It ends when the last copy is closed, by a SIGKILL too.  Descriptors are
close-on-exec; a forked child has a copy until it closes it.  Probers lock *shared*, so that two of
them never take each other for a holder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import Self

from devrun.model import Liveness

_RETRY = 0.005
"""Seconds between two tries.  Shorter burns CPU beside a long holder; longer is felt as a delay."""

_PROBE_WINDOW = 0.05
"""Seconds that even `wait=0` insists: a prober holds the lock for an instant, which is no holder."""


class FileLock:
    """An exclusive lock on a file, held until `close` or the end of the process.

    Dropping the object does not free the lock: only `close` (or leaving `with`) does.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path: str, *, wait: float = 0) -> FileLock | None:
        """Take the lock, waiting up to `wait` seconds; None when somebody else holds it.

        The file is made when it is missing (its folder is not).  Raises OSError when it cannot be
        opened or the file system has no locks.
        """
        until = time.monotonic() + max(wait, _PROBE_WINDOW)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(fd)
                if error.errno not in {errno.EWOULDBLOCK, errno.EACCES, errno.EINTR}:
                    raise
                if time.monotonic() >= until:
                    return None
                time.sleep(_RETRY)
                continue
            if _is_at(fd, path):
                return cls(path, fd)
            os.close(fd)  # removed or replaced between open and flock: nobody else would see this lock

    def fileno(self) -> int:
        """Return the descriptor that holds the lock."""
        return self._fd

    def close(self) -> None:
        """Let go of this copy; in a forked child the parent's copy keeps the lock."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def probe(path: str) -> Liveness:
    """Tell whether somebody holds the lock: LIVE, DEAD, or UNKNOWN when the file cannot be asked.

    A file that is missing proves nothing: UNKNOWN.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Liveness.UNKNOWN
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return Liveness.UNKNOWN
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return Liveness.LIVE if error.errno == errno.EWOULDBLOCK else Liveness.UNKNOWN
    else:
        return Liveness.DEAD
    finally:
        os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
