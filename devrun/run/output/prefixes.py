"""The prefix of a line, `[time ]name | `: aligned names, one colour per service.

A service's colour depends on its name, not on who else runs; where two meet, the later one takes
the next free.  Prefixes are made once (with times: once a second), because they are inserted into
chunks of thousands of lines.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Iterable

OWN_NAME = "devrun"

# Red is left out: it is for errors.  Bright ones come last, they are pale on white.
_PALETTE = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
_OWN_COLOUR = "1"


class Prefixes:
    """Makes prefixes.  `names` are the services known so far: they decide the width."""

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        colour: bool = False,
        timestamps: bool = False,
        shown: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._colour = colour
        self._timestamps = timestamps
        self._shown = shown
        self._clock = clock
        self._second = 0
        self._time = b""
        self._colours = {OWN_NAME: _OWN_COLOUR}
        self._width = 0
        self._made: dict[str, bytes] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Learn a service: its colour, and a wider column if it needs one."""
        if name in self._colours:
            return
        self._colours[name] = self._free_colour(name)
        if len(name) > self._width:
            self._width = len(name)
            self._made.clear()

    def of(self, name: str) -> bytes:
        """Return the prefix of a line of `name` that is shown now."""
        if self._timestamps:
            second = int(self._clock())
            if second != self._second:
                self._second = second
                self._time = time.strftime("%H:%M:%S ", time.localtime(second)).encode()
                self._made.clear()
        made = self._made.get(name)
        if made is None:
            self.add(name)
            made = self._made[name] = self._time + self._name(name)
        return made

    def _name(self, name: str) -> bytes:
        if not self._shown:
            return b""
        text = f"{name:<{self._width}} | "
        return f"\x1b[{self._colours[name]}m{text}\x1b[0m".encode() if self._colour else text.encode()

    def _free_colour(self, name: str) -> str:
        first = binascii.crc32(name.encode()) % len(_PALETTE)
        taken = set(self._colours.values())
        order = _PALETTE[first:] + _PALETTE[:first]
        return next((colour for colour in order if colour not in taken), order[0])
