"""What is typed into a service's terminal: nothing is lost where somebody types faster than the service reads.

A terminal takes what its queue has room for (on Linux some 16 kB) and refuses the rest for the
moment; that waits here, and whoever typed it is told to pause.  What the terminal itself throws
away, a line of more than 4095 bytes without its Return (termios(3)), is lost as at any terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from devrun.run.loop import WRITE, Loop

ENOUGH = 64 * 1024
"""Bytes waiting for the terminal from which on who types pauses.  Fewer stops pastes for nothing;
more is memory for a service that never reads."""

BREATH = 1.0
"""Seconds until the next try where no descriptor is left to wait with."""


class Keyboard:
    """Types into the terminal behind `master`, which does not block."""

    def __init__(self, master: int, loop: Loop) -> None:
        self._master = master
        self._loop = loop
        self._waiting = bytearray()
        self._paused: list[Callable[[bool], None]] = []
        self._watched: int | None = None

    def type(self, keys: bytes, go_on: Callable[[bool], None]) -> bool:
        """Type `keys`; False asks to pause until `go_on` is called: with True, or False when the service is over.

        What is left of a paste was meant for that service, never for the one that is started in its place.
        """
        self._waiting += keys
        self._write()
        if len(self._waiting) < ENOUGH:
            return True
        self._paused.append(go_on)
        return False

    def close(self) -> None:
        """Forget what waits: the service is over.  The master stays open."""
        paused, self._paused = self._paused, []
        self._waiting.clear()
        self._settle()
        for go_on in paused:
            go_on(False)

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._master, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody has the terminal open any more
            self._waiting.clear()
        self._settle()

    def _await_room(self) -> None:
        try:
            self._watched = os.dup(self._master)  # one of its own: the loop reads the master already
        except OSError:  # none left
            self._loop.call_later(BREATH, self._write)
        else:
            self._loop.watch(self._watched, self._write, WRITE)

    def _settle(self) -> None:
        """Watch for room while there is something to type; let go on who paused once there is little."""
        if self._waiting and self._watched is None:
            self._await_room()
        elif not self._waiting and self._watched is not None:
            self._loop.ignore(self._watched)
            os.close(self._watched)
            self._watched = None
        if len(self._waiting) < ENOUGH:
            paused, self._paused = self._paused, []
            for go_on in paused:
                go_on(True)
