"""`devrun logs`: what the services of this worktree's run said, also after it ended.

Reads files, never the run: it works the same when the supervisor is busy, gone or of another
version.  The run is the newest of the worktree; following ends with it.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterable

from devrun.config.problems import did_you_mean
from devrun.config.select import meant_by
from devrun.errors import DevrunError, UsageError
from devrun.model import Liveness, RunRecord, Worktree
from devrun.report.console import AnswerBytes, Output, wants_colour
from devrun.run.output.logfollow import Follower
from devrun.run.output.logreader import Record, joined, logged_services, read_logs
from devrun.run.output.logtime import LocalTime, parse_since
from devrun.run.output.prefixes import Prefixes
from devrun.run.output.terminal import RESET, close_colours, tame
from devrun.state import State, open_state
from devrun.workspace import check_lines, find_worktree

# Between two looks at the files.  Shorter costs wake-ups, longer is felt beside a terminal.
LOOK_EVERY = 0.1


def run(
    output: Output,
    *,
    services: list[str],
    follow: bool,
    lines: int | None,
    since: str | None,
    timestamps: bool,
    no_prefix: bool,
    file: str | None,
) -> int:
    """Print the lines that were asked for; with `follow` go on until the run ends."""
    check_lines(lines, hint="`devrun logs -n 100`")
    begin = None if since is None else parse_since(since)
    with open_state(create=False) as state:
        found = _newest_run(state, find_worktree(file))
        folder = os.path.join(state.runs.folder(found.id), "logs")
        names = _chosen(folder, services)
        printer: _Lines | _Json
        if output.json:
            printer = _Json(AnswerBytes())
        else:
            colour = wants_colour(sys.stdout, choice=output.color)
            prefixes = Prefixes(names, colour=colour, shown=not no_prefix)
            printer = _Lines(AnswerBytes(), prefixes, timestamps=timestamps)
        if not follow or sys.stdout is None:  # closed before the start: nobody looks on
            printer.show(read_logs(folder, names, since=begin, tail=lines))
            return 0
        follower = Follower(folder, names)
        try:
            printer.show(read_logs(folder, names, since=begin, tail=lines, until=follower.marks))
            _follow(state, found, follower, printer, folder=folder, growing=not services)
        finally:
            follower.close()
    return 0


def _newest_run(state: State, worktree: Worktree) -> RunRecord:
    for found in state.runs.all():
        if found.worktree_identity == worktree.identity:
            return found
    raise DevrunError(f"no run of `{worktree.root}` is known", hint="`devrun up`")


def _chosen(folder: str, services: list[str]) -> tuple[str, ...]:
    known = logged_services(folder)
    chosen: list[str] = []
    for word in services:
        names = meant_by(word, known)
        if not names:
            listed = "it has " + (", ".join(f"`{each}`" for each in known) or "no logs")
            raise UsageError(f"the run has no service `{word}`", hint=did_you_mean(word, known) or listed)
        chosen += names
    return tuple(dict.fromkeys(chosen)) or known


def _follow(
    state: State, found: RunRecord, follower: Follower, printer: _Lines | _Json, *, folder: str, growing: bool
) -> None:
    """Show what comes until the run is over; when `growing`, also of services that are added to it."""
    reader = select.poll()
    reader.register(1, 0)
    while True:
        # Locks in a folder that was pruned cannot be asked any more.
        over = state.runs.liveness(found) is Liveness.DEAD or not os.path.isdir(folder)
        if growing:
            follower.add(logged_services(folder))
        printer.pieces(follower.read(), last=over)
        if over:
            return
        events = reader.poll(LOOK_EVERY * 1000)
        if any(each & (select.POLLERR | select.POLLHUP) for _, each in events):
            raise BrokenPipeError
        if events:
            time.sleep(LOOK_EVERY)  # a device that cannot be polled answers at once


class _Lines:
    """Prints `[time ]name | text`; a piece of a line is shown and continued, as under `up`."""

    def __init__(self, out: AnswerBytes, prefixes: Prefixes, *, timestamps: bool) -> None:
        self._out = out
        self._prefixes = prefixes
        self._time = LocalTime() if timestamps else None
        self._tame = sys.stdout is not None and sys.stdout.isatty()
        self._line_of: tuple[str, str] | None = None
        self._cut: set[tuple[str, str]] = set()

    def show(self, records: Iterable[Record]) -> None:
        for record in records:
            self._print(record)
        self._out.flush()

    def pieces(self, records: Iterable[Record], *, last: bool) -> None:
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


class _Json:
    """Prints one object a line, whole lines only, always valid UTF-8."""

    def __init__(self, out: AnswerBytes) -> None:
        from msgspec.json import encode

        self._out = out
        self._encode = encode
        self._waiting: dict[tuple[str, str], list[Record]] = {}

    def show(self, records: Iterable[Record]) -> None:
        for record in records:
            text = record.text.decode(errors="replace")
            line = {
                "time": record.time.decode(errors="replace"),
                "service": record.service,
                "stream": record.stream,
                "text": text,
            }
            self._out.write(self._encode(line) + b"\n")
        self._out.flush()

    def pieces(self, records: Iterable[Record], *, last: bool) -> None:
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
