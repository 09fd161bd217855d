"""Files named after a process (`active-session-{pid}`) whose process is gone.

Strict, because a file is deleted: the name is the pattern with a pid in decimal and nothing else, the
entry is a regular file, its folder really lies inside the project.  The process is gone when nobody
has its pid, when whoever has it started after the file was written, or when the sweep itself stops it.
Everything else stays.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from devrun.cleanup.values import FileRow, Skipped
from devrun.errors import reason_of
from devrun.model import ProcessSnapshot

_PID = "{pid}"
_MARGIN = 2.0
"""Seconds a process must be younger than its file to be another one.  Smaller and a process that writes
its file while it starts looks re-used where clocks are rounded; larger keeps files a little longer."""


class Leftover(NamedTuple):
    """A file to be removed: its folder, its name, the time it was written, why, and the pid it is named after."""

    folder: str
    name: str
    written_ns: int
    reason: str
    pid: int = 0


def find_leftovers(
    patterns: Sequence[str], root: str | None, snapshot: ProcessSnapshot, *, stopped: Collection[int] = ()
) -> tuple[tuple[Leftover, ...], tuple[Skipped, ...]]:
    """Return the files whose process is gone, or about to be `stopped`, and the patterns that could not be looked at."""
    found: list[Leftover] = []
    skipped: list[Skipped] = []
    for pattern in patterns:
        folder = None if root is None else _folder_of(pattern, root)
        if folder is None:
            skipped.append(Skipped(f"pidfiles `{pattern}`", "its folder is not inside the project"))
            continue
        try:
            found += _in_folder(folder, os.path.basename(pattern), snapshot, stopped)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            skipped.append(Skipped(f"pidfiles `{pattern}`", reason_of(error)))
    return tuple(dict.fromkeys(found)), tuple(skipped)


def remove(leftover: Leftover) -> FileRow:
    """Remove a file that is still the one that was judged."""
    path = os.path.join(leftover.folder, leftover.name)
    row = FileRow(path=path, action="remove", reason=leftover.reason)
    try:
        folder = os.open(leftover.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            now = os.stat(leftover.name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(now.st_mode) or now.st_mtime_ns != leftover.written_ns:
                return FileRow(path=path, action="keep", reason="it was written again meanwhile")
            os.unlink(leftover.name, dir_fd=folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        return FileRow(path=path, action=row.action, reason=row.reason, outcome="gone")
    except OSError as error:
        why = reason_of(error)
        return FileRow(path=path, action=row.action, reason=row.reason, outcome=f"failed: {why}")
    return FileRow(path=path, action=row.action, reason=row.reason, outcome="removed")


def planned(leftover: Leftover) -> FileRow:
    """Return the row of a dry run."""
    return FileRow(path=os.path.join(leftover.folder, leftover.name), action="remove", reason=leftover.reason)


def _folder_of(pattern: str, root: str) -> str | None:
    """Return the real folder of a pattern; None when links or `..` lead out of the project."""
    project = os.path.realpath(root)
    folder = os.path.realpath(os.path.join(project, os.path.dirname(pattern)))
    return folder if folder == project or folder.startswith(project.rstrip("/") + "/") else None


def _in_folder(folder: str, name: str, snapshot: ProcessSnapshot, stopped: Collection[int]) -> Iterator[Leftover]:
    before, _, after = name.partition(_PID)
    wanted = re.compile(re.escape(before) + "([1-9][0-9]{0,9})" + re.escape(after))
    for entry in sorted(os.listdir(folder)):
        match = wanted.fullmatch(entry)
        if match is None:
            continue
        try:
            facts = os.lstat(os.path.join(folder, entry))
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(facts.st_mode):
            continue
        pid = int(match[1])
        reason = _why_gone(pid, facts.st_mtime, snapshot)
        if reason is None and pid in stopped:
            reason = f"pid {pid} is stopped"
        if reason is not None:
            yield Leftover(folder, entry, facts.st_mtime_ns, reason, pid)


def _why_gone(pid: int, written: float, snapshot: ProcessSnapshot) -> str | None:
    record = snapshot.get(pid)
    if record is None:
        return None if _exists(pid) else f"pid {pid} is gone"
    if record.is_zombie:
        return f"pid {pid} has ended"
    if record.started_at is not None and record.started_at > written + _MARGIN:
        return f"pid {pid} was re-used: `{record.title}` is younger than the file"
    return None


def _exists(pid: int) -> bool:
    """Ask without a signal whether anybody has this pid, hidden processes included: getpgid(2) says ESRCH if not."""
    try:
        os.getpgid(pid)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
