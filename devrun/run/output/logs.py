"""The log files of a run: one per service, written by the supervisor, bounded by rotation.

`<folder>/<service>.log`, older ones `.log.1` and `.log.2`; 10 MB each.  A line is the one of the
container runtimes (CRI): time, stream, `F` for a full line or `P` for a piece that the next record
of the same stream continues, text as the service wrote it:

    2026-07-29T12:00:00.123456Z stdout F listening on 5100

Times are UTC and strictly increasing over the whole folder, one per chunk, so that files can be
merged in the order of arrival.  No trouble with a disk ends a run: it is said once, lines are left
out while it lasts, and a record torn by it is ended before the next.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Callable, Iterable

from devrun.errors import reason_of

# One file.  Smaller rotates more often; larger is what a post-mortem has to read, times GENERATIONS.
ROTATE_AT = 10 * 1024 * 1024
GENERATIONS = 3
SUFFIX = ".log"
_MICROSECOND = 1_000_000


class Stream(enum.Enum):
    """Where a service said it: its two pipes, its terminal (the tether); NOTICE is devrun itself."""

    STDOUT = "stdout"
    STDERR = "stderr"
    TTY = "tty"
    NOTICE = "notice"


def generation_path(folder: str, service: str, age: int) -> str:
    """Return the path of a log file; age 0 is the one being written."""
    path = os.path.join(folder, service + SUFFIX)
    return f"{path}.{age}" if age else path


class LogFile:
    """The file of one service.  `write` takes chunks: whole lines, or the piece of one."""

    def __init__(self, folder: LogFolder, service: str) -> None:
        self._folder = folder
        self._service = service
        self._fd: int | None = None
        self._size = 0
        self._torn = False
        self._open()

    def write(self, stream: Stream, block: bytes) -> None:
        """Append lines that end with a newline, or the piece of one line."""
        head = b"%s %s F " % (self._folder.stamp(), stream.value.encode())
        if block.endswith(b"\n"):
            # The copy with a head too many at its end is cut by a view: copies are what this costs.
            text = block.replace(b"\n", b"\n" + head)
            self._append(head, memoryview(text)[: -len(head)])
        else:
            self._append(b"%s P " % head[:-3], memoryview(block + b"\n"))

    def close(self) -> None:
        """Close the file; writing again opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, head: bytes, text: memoryview) -> None:
        try:
            if self._fd is None:
                self._open(again=True)
            elif self._size and self._size + len(head) + len(text) > self._folder.rotate_at:
                self._rotate()
            if self._fd is not None:
                self._write_all(self._fd, b"\n" + head if self._torn else head, text)
        except OSError as error:
            self._folder.complain(f"the log of `{self._service}` cannot be written: {reason_of(error)}")

    def _write_all(self, fd: int, head: bytes, text: memoryview) -> None:
        sent = os.writev(fd, (head, text))
        self._size += sent
        self._torn = True
        while sent < len(head) + len(text):  # a disk gets full in the middle of a write, then says so
            rest = (head[sent:], text) if sent < len(head) else (text[sent - len(head) :],)
            count = os.writev(fd, rest)
            sent += count
            self._size += count
        self._torn = False

    def _open(self, *, again: bool = False, empty: bool = False) -> None:
        path = generation_path(self._folder.path, self._service, 0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if empty else 0)
        try:
            self._fd = os.open(path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size
            self._torn = bool(self._size) and again
        except OSError as error:
            self._folder.complain(f"the log of `{self._service}` cannot be opened: {reason_of(error)}")

    def _rotate(self) -> None:
        self.close()
        moved = False
        for age in range(GENERATIONS - 1, 0, -1):
            older = generation_path(self._folder.path, self._service, age)
            with contextlib.suppress(OSError):
                os.replace(generation_path(self._folder.path, self._service, age - 1), older)
                moved = age == 1
        # Bounded before complete: a file that cannot be moved away starts anew.
        self._open(empty=not moved)


class LogFolder:
    """The log files of one run.  `on_trouble` is told once when they cannot be written."""

    def __init__(
        self,
        path: str,
        *,
        rotate_at: int = ROTATE_AT,
        clock: Callable[[], float] = time.time,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self.rotate_at = rotate_at
        self.on_trouble = on_trouble
        self._clock = clock
        self._last = 0
        self._second = -1
        self._second_text = b""
        self._files: dict[str, LogFile] = {}
        self._troubled = False
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            self.complain(f"the folder of the logs cannot be made: {reason_of(error)}")

    def file(self, service: str) -> LogFile:
        """Return the log file of a service, which exists (empty) from now on."""
        found = self._files.get(service)
        if found is None:
            found = self._files[service] = LogFile(self, service)
        return found

    def prepare(self, services: Iterable[str]) -> None:
        """Make the files of services that have said nothing yet, so that they can be followed."""
        for service in services:
            self.file(service)

    def stamp(self) -> bytes:
        """Return the time of a chunk: UTC, 27 bytes, later than every one before it."""
        self._last = max(int(self._clock() * _MICROSECOND), self._last + 1)
        second, rest = divmod(self._last, _MICROSECOND)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%s.%06dZ" % (self._second_text, rest)

    def complain(self, problem: str) -> None:
        """Tell of trouble, the first time only: a full disk is full for every chunk."""
        if not self._troubled and self.on_trouble is not None:
            self._troubled = True
            self.on_trouble(f"{problem}; the services run on, their output is not kept")

    def close(self) -> None:
        """Close every file."""
        for each in self._files.values():
            each.close()
