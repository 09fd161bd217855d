"""The tether: a pty of its own for each service, held open by the supervisor alone.

The service's session has it as controlling terminal.  When the supervisor vanishes, by whatever
end, the kernel closes the master and hangs the session up: SIGHUP and SIGCONT to the session leader
and its foreground group (tty_ioctl(4), credentials(7)).  No code of ours has to run for that.
What left the session or the foreground group, or ignores HUP, is the keeper's.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from typing import NamedTuple

DEFAULT_SIZE = (24, 80)


class Tether(NamedTuple):
    """The two ends of a service's pty; the slave is closed in the supervisor after the spawn."""

    master: int
    slave: int


def open_tether(size: tuple[int, int] = DEFAULT_SIZE) -> Tether | None:
    """Open a pty without taking it as our own controlling terminal.

    Returns None where none is to be had (no devpts, the limit reached): the service then runs
    with /dev/null as its input, and the keeper alone covers the loss of the supervisor.
    """
    try:
        master, slave = os.openpty()
    except OSError:
        return None
    os.set_blocking(master, False)
    resize(master, size)
    return Tether(master, slave)


def resize(descriptor: int, size: tuple[int, int]) -> None:
    """Set rows and columns of a terminal; its foreground group hears of it by SIGWINCH."""
    rows, columns = size
    try:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    except OSError:  # the slave side hung up: nobody is left to see the size
        return


def terminal_size(descriptor: int) -> tuple[int, int]:
    """Return rows and columns of the terminal behind `descriptor`, 24 × 80 when it is none."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return DEFAULT_SIZE
    return (rows, columns) if rows and columns else DEFAULT_SIZE
