"""Follow the log files of a run: what is written from now on, through every rotation.

`Follower.read` returns what is new, in time order, and never waits; the caller decides when to look
again and when the run is over.  Polling, because the portable ways to be told of a write (kqueue,
inotify) are two, and five looks a second at a few files cost nothing that can be measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import BinaryIO

from devrun.run.logreader import Record, open_generations, parse_record
from devrun.run.logs import generation_path

_READ_SIZE = 256 * 1024


class Follower:
    """The ends of the logs of several services.  It starts at the end of what is there."""

    def __init__(self, folder: str, services: Iterable[str], *, from_start: bool = False) -> None:
        self._tails = [_Tail(folder, service, from_start=from_start) for service in services]

    def read(self) -> list[Record]:
        """Return the records that were written since the last call, in the order of arrival."""
        records = [record for tail in self._tails for record in tail.read()]
        records.sort(key=lambda record: record.time)
        return records

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails:
            tail.close()


class _Tail:
    """The end of one service's log."""

    def __init__(self, folder: str, service: str, *, from_start: bool) -> None:
        self._folder = folder
        self._service = service
        self._rest = b""
        self._time = b""
        files = open_generations(folder, service)
        self._file: BinaryIO | None = files[-1] if files else None
        self._older = files[:-1] if from_start else []
        if not from_start:
            for file in files[:-1]:
                file.close()
            self._seek_end()

    def read(self) -> list[Record]:
        records: list[Record] = []
        for file in self._older:
            records += self._read_file(file)
            file.close()
        self._older = []
        while True:
            if self._file is not None:
                # Whether it was rotated is asked before the last read: after it nobody writes there.
                newer = self._newer()
                records += self._read_file(self._file)
                if newer is None:
                    return records
                self._file.close()
                self._file = newer
            else:
                files = open_generations(self._folder, self._service)
                if not files:
                    return records
                self._file, *later = files
                for file in later:
                    file.close()

    def close(self) -> None:
        for file in (*self._older, self._file):
            if file is not None:
                file.close()
        self._older, self._file = [], None

    def _seek_end(self) -> None:
        """Go to the end, but not into the middle of a record."""
        if self._file is not None:
            size = os.fstat(self._file.fileno()).st_size
            start = max(0, size - _READ_SIZE)
            block = os.pread(self._file.fileno(), size - start, start)
            self._file.seek(start + block.rfind(b"\n") + 1 if b"\n" in block else size)

    def _newer(self) -> BinaryIO | None:
        """Return the file that came after the one that is open, None when it is still the newest."""
        if self._file is None:
            return None
        mine = os.fstat(self._file.fileno())
        try:
            if os.path.samestat(mine, os.stat(generation_path(self._folder, self._service, 0))):
                return None
        except OSError:
            return None  # between two renames, or the folder was pruned
        files = open_generations(self._folder, self._service)
        place = next((at for at, file in enumerate(files) if os.path.samestat(mine, os.fstat(file.fileno()))), -1)
        keep = place + 1 if place + 1 < len(files) else None
        for at, file in enumerate(files):
            if at != keep:
                file.close()
        return None if keep is None else files[keep]

    def _read_file(self, file: BinaryIO) -> list[Record]:
        records = []
        while chunk := file.read(_READ_SIZE):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                record = parse_record(line, self._service, self._time)
                self._time = record.time
                records.append(record)
        return records
