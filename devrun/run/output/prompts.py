"""Notice prompts: an unfinished line that stands on the terminal of a service that says nothing more.

`sudo`, `ssh` and git ask on the controlling terminal, which is the service's tether: nobody can
answer there but through `devrun attach`, so that is what people are told, once in the life of a service.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from devrun.run.loop import Loop, Timer
from devrun.run.output.terminal import tame

STANDING = 1.5
"""Seconds a line has to stand before it is a prompt.  Shorter takes a slow progress line for one;
longer lets people wonder why nothing happens."""
LONGEST_PROMPT = 4096
_COLOURS = re.compile(rb"\x1b\[[0-9;:]*[mK]")


class Prompts:
    """The unfinished lines of all terminals."""

    def __init__(self, loop: Loop, tell: Callable[[str], None]) -> None:
        """`tell` hears the name of a service that waits for input."""
        self._loop = loop
        self._tell = tell
        self._lines: dict[str, bytes] = {}
        self._timers: dict[str, Timer] = {}
        self._heard: dict[str, float] = {}
        self._told: set[str] = set()
        self._waiting: set[str] = set()

    def feed(self, service: str, stream: str, chunk: bytes) -> None:
        """Take output of a service; b"" ends a stream."""
        if stream != "tty":
            if service in self._timers:
                self._heard[service] = self._loop.now()
            return
        self._waiting.discard(service)
        if not chunk:
            self._forget(service)
            return
        line = (self._lines.get(service, b"") + chunk).rpartition(b"\n")[2][-LONGEST_PROMPT:]
        self._lines[service] = line
        self._heard[service] = self._loop.now()
        if service not in self._timers and _is_visible(line):
            self._timers[service] = self._loop.call_later(STANDING, lambda: self._look(service))

    def is_waiting(self, service: str) -> bool:
        """Whether a prompt of the service has been standing."""
        return service in self._waiting

    def standing(self, service: str) -> bytes:
        """Return the unfinished line of a service's terminal."""
        return self._lines.get(service, b"")

    def _look(self, service: str) -> None:
        del self._timers[service]
        if not _is_visible(self._lines.get(service, b"")):
            return
        quiet_until = self._heard[service] + STANDING
        if quiet_until > self._loop.now():
            self._timers[service] = self._loop.call_at(quiet_until, lambda: self._look(service))
            return
        self._waiting.add(service)
        if service not in self._told:
            self._told.add(service)
            self._tell(service)

    def _forget(self, service: str) -> None:
        self._lines.pop(service, None)
        self._heard.pop(service, None)
        self._told.discard(service)
        timer = self._timers.pop(service, None)
        if timer is not None:
            timer.cancel()


def _is_visible(line: bytes) -> bool:
    """Whether more than blanks and control sequences stands on a line."""
    return bool(_COLOURS.sub(b"", tame(line)).strip())
