"""Records of log files as `devrun logs` prints them: lines for people, one object a line for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from devrun.report.console import AnswerBytes
from devrun.run.output.logreader import Record, joined
from devrun.run.output.logtime import LocalTime
from devrun.run.output.prefixes import Prefixes
from devrun.run.output.terminal import RESET, close_colours, tame


class LineView:
    """Prints `[time ]name | text`; a piece of a line is shown and continued, as under `up`."""

    def __init__(self, out: AnswerBytes, prefixes: Prefixes, *, timestamps: bool) -> None:
        self._out = out
        self._prefixes = prefixes
        self._time = LocalTime() if timestamps else None
        self._tame = sys.stdout is not None and sys.stdout.isatty()
        self._line_of: tuple[str, str] | None = None
        self._cut: set[tuple[str, str]] = set()

    def show(self, records: Iterable[Record]) -> None:
        """Print records."""
        for record in records:
            self._print(record)
        self._out.flush()

    def pieces(self, records: Iterable[Record], *, last: bool) -> None:
        """Print what a follower has read; `last` says that nothing comes after it."""
        self.show(records)
        if last:
            self._end_line()
            self._out.flush()

    def _print(self, record: Record) -> None:
        key = (record.service, record.stream)
        text = tame(record.text) if self._tame else record.text
        if self._line_of != key:
            if key in self._cut and record.ended and not text:
                self._cut.discard(key)
                return  # its line was ended when somebody else spoke
            self._end_line()
            self._out.write(self._prefix(record))
        self._line_of = None if record.ended else key
        if record.ended:
            self._cut.discard(key)
        self._out.write(close_colours(text + b"\n") if record.ended else text)

    def _prefix(self, record: Record) -> bytes:
        shown = b"" if self._time is None else self._time.show(record.time)
        return shown + self._prefixes.of(record.service)

    def _end_line(self) -> None:
        if self._line_of is not None:
            self._cut.add(self._line_of)
            self._line_of = None
            self._out.write(RESET + b"\n" if self._tame else b"\n")


class JsonView:
    """Prints one object a line, whole lines only, always valid UTF-8."""

    def __init__(self, out: AnswerBytes) -> None:
        self._out = out
        self._waiting: dict[tuple[str, str], list[Record]] = {}

    def show(self, records: Iterable[Record]) -> None:
        """Print records."""
        for record in records:
            text = record.text.decode(errors="replace")
            line = {
                "time": record.time.decode(errors="replace"),
                "service": record.service,
                "stream": record.stream,
                "text": text,
            }
            self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()

    def pieces(self, records: Iterable[Record], *, last: bool) -> None:
        """Print what a follower has read; `last` says that nothing comes after it."""
        whole: list[Record] = []
        for record in records:
            pieces = self._waiting.setdefault((record.service, record.stream), [])
            pieces.append(record)
            if record.ended:
                whole += joined(pieces)
                pieces.clear()
        if last:
            whole += joined(record for pieces in self._waiting.values() for record in pieces)
        self.show(whole)
