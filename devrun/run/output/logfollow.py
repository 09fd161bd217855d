"""Follow the log files of a run: what is written from now on, through every rotation.

`Follower.read` returns what is new, in time order, and never waits; the caller decides when to look
again and when the run is over.  Polling, because the portable ways to be told of a write (kqueue,
inotify) are two, and five looks a second at a few files cost nothing that can be measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from devrun.run.output.logreader import Mark, Record, Slice, open_generations, parse_record
from devrun.run.output.logs import generation_path

_READ_SIZE = 256 * 1024


class Follower:
    """The ends of the logs of several services.

    It starts where they end now (`marks`); a service that comes later is followed from its start.
    """

    def __init__(self, folder: str, services: Iterable[str]) -> None:
        self._folder = folder
        self._tails = {service: _Tail(folder, service, from_start=False) for service in services}

    @property
    def marks(self) -> Mapping[str, Mark]:
        """Where following begins: the history to show before it ends there."""
        return {service: tail.begin for service, tail in self._tails.items() if tail.begin is not None}

    def add(self, services: Iterable[str]) -> None:
        """Follow these too; those that are followed already go on."""
        for service in services:
            if service not in self._tails:
                self._tails[service] = _Tail(self._folder, service, from_start=True)

    def read(self) -> list[Record]:
        """Return the records that were written since the last call, in the order of arrival."""
        records = [record for tail in self._tails.values() for record in tail.read()]
        records.sort(key=lambda record: record.time)
        return records

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails.values():
            tail.close()


class _Tail:
    """The log of one service from some place on: files in their order, the last is being written."""

    def __init__(self, folder: str, service: str, *, from_start: bool) -> None:
        self._folder = folder
        self._service = service
        self._rest = b""
        self._time = b""
        self._files = open_generations(folder, service)
        self.begin: Mark | None = None
        if not from_start and self._files:
            *older, newest = self._files
            _close(older)
            newest = Slice(newest.file, _end_of_records(newest))
            newest.file.seek(newest.end)
            self._files = [newest]
            self.begin = newest.mark

    def read(self) -> list[Record]:
        records: list[Record] = []
        if not self._files:
            self._files = open_generations(self._folder, self._service)
        while self._files:
            # Whether there is a newer file is asked before reading: afterwards nobody writes here.
            if len(self._files) == 1:
                self._files += self._newer(self._files[0].file)
            records += self._read_file(self._files[0].file)
            if len(self._files) == 1:
                break
            _close([self._files.pop(0)])
        return records

    def close(self) -> None:
        _close(self._files)
        self._files = []

    def _newer(self, current: BinaryIO) -> list[Slice]:
        """Return the files that came after the one that is open; empty while it is the newest."""
        mine = os.fstat(current.fileno())
        try:
            if os.path.samestat(mine, os.stat(generation_path(self._folder, self._service, 0))):
                return []
        except OSError:  # between two renames, or the folder was pruned
            return []
        files = open_generations(self._folder, self._service)
        places = [at for at, each in enumerate(files) if os.path.samestat(mine, os.fstat(each.file.fileno()))]
        older = places[0] + 1 if places else 0  # rotated away meanwhile: everything there is, is newer
        _close(files[:older])
        return files[older:]

    def _read_file(self, file: BinaryIO) -> list[Record]:
        records: list[Record] = []
        while chunk := file.read(_READ_SIZE):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in filter(None, lines):
                record = parse_record(line, self._service, self._time)
                self._time = record.time
                records.append(record)
        return records


def _end_of_records(newest: Slice) -> int:
    """Return where the last whole record ends: the writer may be in the middle of one."""
    end = newest.end
    while end > 0:
        start = max(0, end - _READ_SIZE)
        found = newest.block(start, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _close(slices: Iterable[Slice]) -> None:
    for each in slices:
        each.file.close()
