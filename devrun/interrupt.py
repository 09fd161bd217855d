"""Signals before there is a run: they end the command in an orderly way.

Python's default for TERM and HUP is to die on the spot, which would leave a process frozen if it
came while something was being stopped.  Here every asking signal raises, so that what was begun is
undone on the way out, and the command ends with 128 + n.  In the middle of an import it raises when
the import is done: an exception that comes while a class is being made crashes the interpreter in
msgspec 0.22 (SIGSEGV), and would leave half a module behind anyway.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that ask for an end."""

PARENT = os.getppid()
"""Who started this command.  Another one later says that it was killed meanwhile, which no signal tells."""

_IMPORTING = "<frozen importlib."


class Interrupted(BaseException):
    """A signal asked the command to end.  Not an Exception: nobody handles it on the way."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


@contextlib.contextmanager
def interruptible(signals: Iterable[signal.Signals] = ASKING) -> Iterator[None]:
    """Raise Interrupted when one of `signals` arrives; what is ignored (nohup) stays ignored."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        importer = _outermost_importer(frame)
        if importer is None:
            raise Interrupted(signum)
        _raise_in(importer, Interrupted(signum))

    before = {each: signal.getsignal(each) for each in signals}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _outermost_importer(frame: FrameType | None) -> FrameType | None:
    """Return the frame whose import statement is under way, None where nothing is being imported."""
    found = None
    while frame is not None:
        above = frame.f_back
        if frame.f_code.co_filename.startswith(_IMPORTING):
            found = above
        frame = above
    return found


def _raise_in(frame: FrameType, error: Interrupted) -> None:
    """Raise in a frame further up once it goes on: the only way Python has is to trace it."""

    def goes_on(_frame: FrameType, _event: str, _argument: object) -> None:
        sys.settrace(None)
        raise error

    frame.f_trace = goes_on
    sys.settrace(lambda *_: None)  # frames made from here on are not traced


def never_called(_signum: int, _frame: object) -> None:
    """Handle a signal that is blocked and taken by sigwait: with a handler the kernel keeps it pending."""
