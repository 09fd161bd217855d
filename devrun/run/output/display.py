"""What is on screen: where the cursor stands, whose line it is in, and which prefix comes next.

A `Display` is given blocks of whole lines, or the piece of an unfinished one, and writes them to
its sink.  A piece leaves the cursor in the middle of a line: the same source goes on there without
a second prefix, anybody else ends the line first.  A colour is closed at the end of its line and
before anybody else's prefix; on a terminal nothing moves the cursor off its line.
"""

from __future__ import annotations

from devrun.run.output.prefixes import OWN_NAME, Prefixes
from devrun.run.output.sink import Sink
from devrun.run.output.terminal import RESET, close_colours, tame


class Display:
    """The lines of many speakers on one sink.  A speaker is any object; None is devrun itself."""

    def __init__(self, sink: Sink, prefixes: Prefixes, *, prefixed: bool) -> None:
        self.sink = sink
        self._prefixes = prefixes
        self._prefixed = prefixed
        self._midline = False
        self._line_of: object | None = None
        self._coloured = False
        self._skipped = 0

    def show(self, speaker: object, name: str, block: bytes, *, continued: bool = False) -> None:
        """Write a block of a speaker.  `continued`: the start of its first line was shown before."""
        if self.sink.is_broken:
            return
        if self.sink.is_full:
            self._skip(speaker, block)
            return
        self.own_up()
        prefix = self._prefixes.of(name)
        if self._line_of is speaker and self._midline:
            lead = b""
        else:
            if continued and block.startswith(b"\n"):  # that line was ended when somebody else spoke
                block = block[1:]
                if not block:
                    return
            lead = self._end_of_line() + prefix
        if self.sink.is_terminal:
            block = tame(block)
        self.sink.write(self._dress(speaker, lead, block, prefix))

    def notice(self, text: bytes) -> None:
        """Write lines of devrun's own; they get through even when others are skipped."""
        if not self.sink.is_broken:
            prefix = self._prefixes.of(OWN_NAME)
            self.sink.write(self._end_of_line() + prefix + text.replace(b"\n", b"\n" + prefix) + b"\n")

    def end_line(self) -> None:
        """Leave the cursor at the start of a line."""
        if self._midline:
            self.sink.write(self._end_of_line())

    def own_up(self) -> None:
        """Say how much was skipped, once there is room again."""
        if self._skipped and not self.sink.is_full:
            count, self._skipped = self._skipped, 0
            self.notice(b"%d lines are not shown: nobody read them here; `devrun logs` has all" % count)

    def _dress(self, speaker: object, lead: bytes, block: bytes, prefix: bytes) -> bytes:
        """Return the block with prefixes between its lines, and remember where it leaves the cursor."""
        ended = block.endswith(b"\n")
        self._midline = not ended
        self._line_of = None if ended else speaker
        self._coloured = False
        if b"\x1b" in block:
            self._coloured = not ended
            block = close_colours(block) if ended else block
        if not self._prefixed:
            return lead + block
        if self.sink.is_terminal and b"\r" in block:  # CR takes the cursor back over the prefix
            block = block.replace(b"\r", b"\r" + prefix)
        if not ended:
            return lead + block
        # The copy with a prefix too many at its end is cut by a view: copies are what this costs.
        return b"".join((lead, memoryview(block.replace(b"\n", b"\n" + prefix))[: -len(prefix)]))

    def _end_of_line(self) -> bytes:
        if not self._midline:
            return b""
        end = RESET + b"\n" if self._coloured else b"\n"
        self._midline = self._coloured = False
        self._line_of = None
        return end

    def _skip(self, speaker: object, block: bytes) -> None:
        self._skipped += block.count(b"\n")
        if self._line_of is speaker:
            self._line_of = None
