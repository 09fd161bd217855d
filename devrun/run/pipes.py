"""Sizes of the pipes between services and supervisor.

A wider pipe means fewer wake-ups, but the pages of all pipes of a user are counted together
(pipe(7): /proc/sys/fs/pipe-user-pages-soft, 64 MB): past that, *new* pipes of every program of the
user shrink to two pages.  So nobody gets a wide pipe for being started; a pipe that was found full
is widened.
"""

from __future__ import annotations

import fcntl
import os
import sys

# What the supervisor passes to os.read: a whole pipe of the largest size at once.
READ_SIZE = 1024 * 1024
# The kernel's default size of a pipe: a read that returns this much found the pipe full.
FULL_READ = 64 * 1024
# Half of the largest size an ordinary user may ask for by default (/proc/sys/fs/pipe-max-size).
WIDE_PIPE = 512 * 1024


def widen_pipe(fd: int) -> None:
    """Make a pipe hold more, where the system can and lets us; anything else stays as it is."""
    if sys.platform == "linux":
        try:
            if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < WIDE_PIPE:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, WIDE_PIPE)
        except OSError:
            return


def read_chunk(fd: int) -> bytes | None:
    """Read what is there: b"" at the end, None when there is nothing yet.

    A pty whose last holder has gone says EIO on Linux where a pipe says end-of-file.
    """
    try:
        chunk = os.read(fd, READ_SIZE)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    if len(chunk) == FULL_READ:
        widen_pipe(fd)
    return chunk
