"""One process in /proc, read through a descriptor of its folder: it stays with the process it was opened for (proc(5)).

Shared by the table and the cheap look at command lines.  `try_` means that what cannot be read is None.
"""

from __future__ import annotations

import errno
import os

from devrun.model import Cwd, FileId
from devrun.system.commandlines import resolve_script
from devrun.system.environments import parse_environment

GONE = (errno.ENOENT, errno.ESRCH)
DENIED = (errno.EACCES, errno.EPERM)
DELETED = b" (deleted)"


def script_of(folder: int, argv: tuple[str, ...] | None, exe: str | None, cwd: Cwd | None = None) -> str | None:
    """Return the real path of the script that an interpreter runs, None when there is none or it cannot be told."""
    return resolve_script(argv, exe, lambda: _path_of(cwd or cwd_of(folder)), lambda: _started_in(folder))


def cwd_of(folder: int) -> Cwd | None:
    """Read the raw link: the kernel marks a deleted folder with ` (deleted)`, which may also be part of a name."""
    link = try_link(b"cwd", folder)
    if link is None or not link.startswith(b"/"):
        return None
    file_id = _file_id(b"cwd", folder)
    deleted = link.endswith(DELETED) and (file_id is None or _file_id(link, None) != file_id)
    path = link.removesuffix(DELETED) if deleted else link
    return Cwd(path=os.fsdecode(path), deleted=deleted, file_id=file_id)


def _started_in(folder: int) -> str | None:
    raw = try_read(b"environ", folder)
    environment = None if raw is None else parse_environment(raw)
    return None if environment is None else environment.pwd


def _path_of(cwd: Cwd | None) -> str | None:
    return None if cwd is None else cwd.path


def _file_id(path: bytes, folder: int | None) -> FileId | None:
    try:
        found = os.stat(path, dir_fd=folder)
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def open_folder(name: bytes) -> int:
    """Return a descriptor of /proc/`name`, which never shows a successor with the same pid."""
    return os.open(b"/proc/" + name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def try_read(name: bytes, folder: int | None = None) -> bytes | None:
    """Return the whole file, in the folder of a process or by its path."""
    try:
        return read(name, folder)
    except OSError:
        return None


def try_link(name: bytes, folder: int | None = None) -> bytes | None:
    """Return where a link points, in the folder of a process or by its path."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def read(path: bytes, folder: int | None = None) -> bytes:
    """Return the whole file.  Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        chunk = os.read(descriptor, 8192)
        if len(chunk) < 4096:  # noqa: PLR2004 - proc files are handed out in pages: less than one is all
            return chunk
        chunks = [chunk]
        while chunk := os.read(descriptor, 65536):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
