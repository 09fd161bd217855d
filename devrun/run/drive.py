"""Advance a stopping generator from the supervisor's loop, while output goes on being read.

`system.execute` and `cleanup.teardown` yield what they wait for.  A command waits in place
(`execute.drive`); here each handle's pidfd and the deadline go into the loop.  Where there is no pidfd
the handles are looked at every few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from devrun.run.loop import Loop, Timer
from devrun.system.execute import Wait

POLL_INTERVAL = 0.02
"""Seconds between two looks without a pidfd.  Shorter burns CPU in every stop; longer is felt."""

Result = TypeVar("Result")


class Drive(Generic[Result]):
    """One generator on its way; `on_done` gets its result."""

    def __init__(self, loop: Loop, generator: Generator[Wait, None, Result], on_done: Callable[[Result], None]) -> None:
        self._loop = loop
        self._generator = generator
        self._on_done = on_done
        self._watched: list[int] = []
        self._timer: Timer | None = None

    def advance(self) -> None:
        """Resume the generator and wait for what it asks for next."""
        self._forget()
        try:
            wait = next(self._generator)
        except StopIteration as end:
            self._on_done(end.value)
            return
        until = wait.until
        for handle in wait.handles:
            descriptor = handle.fileno()
            if descriptor is None:
                until = min(until, self._loop.now() + POLL_INTERVAL)
            else:
                self._loop.watch(descriptor, self.advance)
                self._watched.append(descriptor)
        self._timer = self._loop.call_at(until, self.advance)

    def _forget(self) -> None:
        for descriptor in self._watched:
            self._loop.ignore(descriptor)
        self._watched = []
        if self._timer is not None:
            self._timer.cancel()
