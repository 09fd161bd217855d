"""The supervisor's loop: one selector, one heap of timers, one thread.

Callbacks run to their end; a turn waits until something is readable or writable, or the next timer
is due.  asyncio is not used: it costs 40 ms at start and reaps children on its own.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
_Callback = Callable[[], None]


class Timer:
    """A call that is due at a moment of the monotonic clock, unless it is cancelled before."""

    __slots__ = ("_callback", "when")

    def __init__(self, when: float, callback: _Callback) -> None:
        self.when = when
        self._callback: _Callback | None = callback

    def cancel(self) -> None:
        """Forget the call; again or after it ran does nothing."""
        self._callback = None

    @property
    def is_pending(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def fire(self) -> None:
        """Make the call, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Loop:
    """Descriptors and timers, and who wants to hear of them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def close(self) -> None:
        """Close the selector (its descriptor must not reach a child)."""
        self._selector.close()

    @staticmethod
    def now() -> float:
        """Return the clock that timers go by, in seconds."""
        return time.monotonic()

    def watch(self, descriptor: int, callback: _Callback, events: int = READ) -> None:
        """Call back whenever `descriptor` is ready; watching it again replaces what was said."""
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, callback)
        else:
            self._selector.register(descriptor, events, callback)

    def ignore(self, descriptor: int) -> None:
        """Stop watching `descriptor`; not watching it is fine."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def call_at(self, when: float, callback: _Callback) -> Timer:
        """Call back once at `when` (of `now`)."""
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, delay: float, callback: _Callback) -> Timer:
        """Call back once in `delay` seconds."""
        return self.call_at(self.now() + delay, callback)

    def turn(self, at_most: float | None = None) -> None:
        """Wait for the next thing to happen (`at_most` so many seconds) and let it happen."""
        while self._timers and not self._timers[0][2].is_pending:
            heapq.heappop(self._timers)
        waits = [wait for wait in (at_most, self._until_next()) if wait is not None]
        for key, _ in self._selector.select(min(waits) if waits else None):
            # A call before this one may have closed the descriptor, and somebody else may have its number by now.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()

    def _until_next(self) -> float | None:
        return max(0.0, self._timers[0][0] - self.now()) if self._timers else None
