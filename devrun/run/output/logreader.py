"""Read the log files of a run, while it runs or long after: the other side of `logs`.

A service's lines come oldest first over all its generations; services are merged by time, which is
the order of arrival.  A record that is not whole (killed in the middle of a write, a full disk)
never raises: its bytes are shown as a line with the time of the one before.
"""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from devrun.errors import exhausted
from devrun.run.output.logs import GENERATIONS, SUFFIX, generation_path

_TIME_LENGTH = len("2026-07-29T12:00:00.123456Z")
_READ_SIZE = 256 * 1024
_FULL = b"F"
_STREAMS = frozenset({b"stdout", b"stderr", b"tty", b"notice"})


class Record(NamedTuple):
    """One record: a whole line, or a piece of one (`ended` False) that the stream's next goes on with."""

    time: bytes
    service: str
    stream: str
    text: bytes
    ended: bool = True


def logged_services(folder: str) -> tuple[str, ...]:
    """Return the services that have a log file, by name; none when there is no folder."""
    try:
        names = os.listdir(folder)
    except OSError:
        return ()
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def parse_record(line: bytes, service: str, previous: bytes = b"") -> Record:
    """Return what one line of a log file says (without its newline); `previous` times a broken one."""
    parts = line.split(b" ", 3)
    if len(parts) == 4 and len(parts[0]) == _TIME_LENGTH and parts[1] in _STREAMS:  # noqa: PLR2004 - CRI's four columns
        return Record(parts[0], service, parts[1].decode(), parts[3], parts[2] == _FULL)
    return Record(previous, service, "stdout", line)


def joined(records: Iterable[Record]) -> Iterator[Record]:
    """Put pieces together to whole lines; what is never ended comes last, as it is."""
    pieces: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        key = (record.service, record.stream)
        if not record.ended:
            pieces.setdefault(key, []).append(record)
        elif key in pieces:
            yield _join([*pieces.pop(key), record])
        else:
            yield record
    for rest in pieces.values():
        yield _join(rest)


def _join(pieces: list[Record]) -> Record:
    return pieces[-1]._replace(text=b"".join(piece.text for piece in pieces), ended=True)


class Mark(NamedTuple):
    """A place in the log of a service: history is before it, following goes on behind it."""

    device: int
    inode: int
    offset: int


class Slice(NamedTuple):
    """An open log file, and where to stop reading it."""

    file: BinaryIO
    end: int

    @property
    def mark(self) -> Mark:
        """The place where this slice ends."""
        facts = os.fstat(self.file.fileno())
        return Mark(facts.st_dev, facts.st_ino, self.end)

    def block(self, start: int, size: int) -> bytes:
        """Return up to `size` bytes from `start`, none of them behind the end."""
        return os.pread(self.file.fileno(), min(size, self.end - start), start)


def open_generations(folder: str, service: str, until: Mark | None = None) -> list[Slice]:
    """Open the files of a service, oldest first, each once even if they rotate meanwhile.

    Opened newest first: a file that is moved in between is met twice, never missed.  With `until`,
    what was written behind that place is left out.  Raises DevrunError where no more files can be open.
    """
    slices: list[Slice] = []
    seen: set[tuple[int, int]] = set()
    for age in range(GENERATIONS):
        try:
            file = open(generation_path(folder, service, age), "rb", buffering=0)  # noqa: SIM115 - the caller closes
        except OSError as error:
            failure = exhausted(error)
            if failure is not None:  # passed over, its lines were missing without a word
                raise failure from error
            continue
        facts = os.fstat(file.fileno())
        here = (facts.st_dev, facts.st_ino)
        end = facts.st_size
        if until is not None:
            if here == until[:2]:
                end, until = until.offset, None
            else:
                end = -1
        if here in seen or end < 0:
            file.close()
            continue
        seen.add(here)
        slices.append(Slice(file, end))
    slices.reverse()
    return slices


def read_logs(
    folder: str,
    services: Iterable[str],
    *,
    since: bytes | None = None,
    tail: int | None = None,
    until: Mapping[str, Mark] | None = None,
) -> Iterator[Record]:
    """Yield whole lines of the services in time order: those since a time, the last `tail` of them.

    `since` is a time as the files have it (UTC).  `until` leaves out what a follower is to show.
    """
    marks = until or {}
    streams = [
        _service_lines(open_generations(folder, service, marks.get(service)), service, since, tail)
        for service in services
        if until is None or service in until
    ]
    merged = heapq.merge(*streams, key=lambda record: record.time)
    if tail is None:
        yield from merged
        return
    yield from _last(merged, tail)


def _service_lines(slices: list[Slice], service: str, since: bytes | None, tail: int | None) -> Iterator[Record]:
    try:
        lines = joined(_records(slices, service)) if tail is None else iter(_tail(slices, service, tail))
        for record in lines:
            if since is None or record.time >= since:
                yield record
    finally:
        for each in slices:
            each.file.close()


def _tail(slices: list[Slice], service: str, count: int) -> list[Record]:
    """Return the last lines, reading from the end only as much as they need."""
    wanted = count + 1
    while True:
        whole, chunk = _last_bytes(slices, wanted)
        lines = list(joined(_parsed(chunk.split(b"\n"), service)))
        if whole or len(lines) > count:
            return lines[-count:] if count else []
        wanted *= 2


def _last_bytes(slices: list[Slice], lines: int) -> tuple[bool, bytes]:
    """Return the end of the files with at least so many line ends, and whether that is everything."""
    blocks: list[bytes] = []
    found = 0
    for each in reversed(slices):
        end = each.end
        while end > 0:
            start = max(0, end - _READ_SIZE)
            blocks.append(each.block(start, end - start))
            found += blocks[-1].count(b"\n")
            end = start
            if found > lines:
                chunk = b"".join(reversed(blocks))
                return False, chunk[chunk.index(b"\n") + 1 :].removesuffix(b"\n")
    return True, b"".join(reversed(blocks)).removesuffix(b"\n")


def _last(records: Iterable[Record], count: int) -> Iterator[Record]:
    yield from deque(records, maxlen=count)


def _records(slices: list[Slice], service: str) -> Iterator[Record]:
    for each in slices:
        yield from _parsed(_lines(each), service)


def _parsed(lines: Iterable[bytes], service: str) -> Iterator[Record]:
    previous = b""
    for line in lines:
        if line:  # a record has four columns; nothing at all is where a torn one was ended
            record = parse_record(line, service, previous)
            previous = record.time
            yield record


def _lines(part: Slice) -> Iterator[bytes]:
    rest = b""
    start = 0
    while chunk := part.block(start, _READ_SIZE):
        start += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
