"""The anchor: a small `sh` that leads the service's session and outlives its tree.

Never the user's own command: when a session leader exits, the kernel sends SIGHUP to the foreground
group, and `sh -c`, bash, npm and pnpm all exit at once on TERM, so that a child which is still
draining would be cut off in the middle.  The anchor ignores what a terminal or a stop sends, but not
HUP, runs the command as its foreground child with default dispositions, writes the child's status to
a pipe, and stays until the supervisor closes the other end of the second pipe, or dies.  While it
lives the kernel cannot give its session and group number to anybody else.
"""

from __future__ import annotations

import os

SHELL = "/bin/sh"
STATUS_FD = 3
RELEASE_FD = 4
_LOST_STATUS = 137  # the anchor was killed from outside: whoever did that used SIGKILL

# `trap -` in the subshell works because these were default when the anchor itself started; a signal
# that is ignored when sh starts could not be given back (POSIX, 2.14 trap).  The shell's own stderr is
# put away, because it would say "Terminated" of its child.
_SCRIPT = """\
trap '' TERM INT QUIT TSTP TTIN TTOU
exec 5>&2 2>/dev/null
( trap - TERM INT QUIT TSTP TTIN TTOU; exec "$@" 2>&5 3>&- 4<&- 5>&- )
echo $? >&3
exec 3>&-
read _ <&4
"""


def anchored(command: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the argv that runs `command` under an anchor; text is given to `sh -c`."""
    words = (SHELL, "-c", command) if isinstance(command, str) else command
    return (SHELL, "-c", _SCRIPT, "devrun", *words)


def read_status(descriptor: int) -> int | None:
    """Return the main process's exit status from the status pipe, None when it has not ended.

    128 + n says it was ended by signal n.  A pipe that ends without a number says that the anchor
    was killed; that counts as SIGKILL.
    """
    try:
        text = os.read(descriptor, 16)
    except BlockingIOError:
        return None
    number = text.strip()
    return int(number) if number.isdigit() else _LOST_STATUS
