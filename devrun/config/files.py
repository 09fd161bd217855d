"""Reading a configuration file without trusting it: what it is, how big, which encoding.

A folder, a FIFO, a socket, a device or a file over 1 MB is refused by its path.  Nothing here
blocks: the file is opened with O_NONBLOCK and looked at (fstat) before the first byte is read.
"""

from __future__ import annotations

import errno
import os
import stat

from devrun.config.project import Place
from devrun.errors import ConfigError, reason_of

MAX_BYTES = 1_000_000
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Source:
    """A file that was read: the name it is shown by, and its text."""

    __slots__ = ("path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    def place(self, index: int) -> Place:
        """Return the place of the character at `index`."""
        before = self.text.count("\n", 0, index)
        return Place(self.path, before + 1, index - self.text.rfind("\n", 0, index))


def shown(path: str, start: str) -> str:
    """Return `path` as it is shown to somebody who works in `start`: relative when it lies below."""
    return legible(path[len(start) :].lstrip("/") if path.startswith(start.rstrip("/") + "/") else path)


def legible(path: str) -> str:
    """Return a path that can be printed and put into JSON: other bytes as escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_there(path: str) -> bool:
    """Say whether something has this name; a broken link counts, so that reading it explains."""
    return os.path.lexists(path)


def read_source(path: str, *, name: str | None = None) -> Source:
    """Read a text file; raise ConfigError with its path when it cannot be one."""
    name = path if name is None else name
    try:
        raw = _read_bytes(path, name)
    except OSError as error:
        reason = "there is no such file" if error.errno == errno.ENOENT else reason_of(error)
        raise ConfigError(f"`{name}` cannot be read: {reason}", where=name) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Source(name, raw[: error.start].decode("utf-8", "replace")).place(error.start)
        raise ConfigError(
            f"`{name}` is not UTF-8: byte 0x{raw[error.start]:02x}", where=str(place), hint="save it as UTF-8"
        ) from error
    source = Source(name, text.replace("\r\n", "\n").replace("\r", "\n"))
    at = source.text.find("\0")
    if at >= 0:
        raise ConfigError(f"`{name}` contains a NUL byte, it is no text file", where=str(source.place(at)))
    return source


def _read_bytes(path: str, name: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        facts = os.fstat(handle)
        kind = next((word for test, word in _KINDS if test(facts.st_mode)), None)
        if kind is not None:
            raise ConfigError(f"`{name}` is {kind}, not a file", where=name)
        parts = []
        left = MAX_BYTES + 1
        while left and (part := os.read(handle, left)):
            parts.append(part)
            left -= len(part)
        if not left:
            raise ConfigError(f"`{name}` is larger than 1 MB, it is no configuration", where=name)
        return b"".join(parts)
    finally:
        os.close(handle)
