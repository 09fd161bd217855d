"""Signals before there is a run: they end the command in an orderly way.

Python's default for TERM and HUP is to die on the spot, which would leave a process frozen if it
came while something was being stopped.  Here every asking signal raises, so that what was begun is
undone on the way out, and the command ends with 128 + n.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(BaseException):
    """A signal asked the command to end.  Not an Exception: nobody handles it on the way."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted when INT, TERM, HUP or QUIT arrives; what is ignored (nohup) stays ignored."""

    def interrupt(signum: int, _frame: object) -> None:
        raise Interrupted(signum)

    before = {each: signal.getsignal(each) for each in ASKING}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
