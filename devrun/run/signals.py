"""Signals as events of the supervisor's loop: a pipe says which ones arrived."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from devrun.run.loop import Loop


def listen(loop: Loop, signals: Iterable[signal.Signals], on_signal: Callable[[signal.Signals], None]) -> None:
    """Call `on_signal` from the loop for each of `signals`; those ignored at start stay ignored.

    Unblocks all signals: whoever forked this process had blocked its own, and had given them
    handlers, too, so that they are heard here and mean nothing.
    """
    wanted = frozenset(signals)
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in wanted:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _heard_by_the_pipe)

    def readable() -> None:
        for number in os.read(reader, 512):
            if number in wanted:
                on_signal(signal.Signals(number))

    loop.watch(reader, readable)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _heard_by_the_pipe(_signum: int, _frame: object) -> None:
    """Do nothing: the wakeup descriptor has carried the number already."""
