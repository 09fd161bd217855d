"""Sizes for the pipes between the services, the supervisor and whoever reads devrun.

Services' pipes stay as the kernel makes them.  Wider ones were tried: chunks beyond the processor's
cache make the supervisor slower, not faster, and the pages of all pipes of a user are counted
together (pipe(7): /proc/sys/fs/pipe-user-pages-soft, 64 MB); past that, new pipes of every program
of the user shrink to two pages.
"""

from __future__ import annotations

import fcntl
import os
import sys

# What one os.read of a service asks for: a whole pipe.  Measured with four busy services: half and
# double of it cost a quarter more, 1 MB doubles the time (each chunk is then faulted in anew).
READ_SIZE = 64 * 1024
# devrun's own stdout, when it is a pipe: room for the prefixed chunks of a few services.
STDOUT_PIPE = 512 * 1024


def widen_pipe(fd: int, size: int) -> None:
    """Make a pipe hold more, where the system can and lets us; anything else stays as it is."""
    if sys.platform == "linux":
        try:
            if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < size:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
        except OSError:
            return


def read_chunk(fd: int) -> bytes | None:
    """Read what is there: b"" at the end, None when there is nothing yet.

    A pty whose last holder has gone says EIO on Linux where a pipe says end-of-file (pty(7)).
    """
    try:
        return os.read(fd, READ_SIZE)
    except BlockingIOError:
        return None
    except OSError:
        return b""
