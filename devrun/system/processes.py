"""Read the process table: cheap columns for everybody, dear ones for candidates.

`read_snapshot` costs tens of milliseconds for thousands of processes, `read_details` is for the
rows that a decision looks at twice.  Two backends give the same facts: /proc on Linux
(`linux_table`), psutil elsewhere (`portable_table`).  Which one is found by trying;
`DEVRUN_PORTABLE=1` forces every portable path and is how Linux tests what macOS will run.

A snapshot is not atomic.  It never holds a row for a process that cannot be identified, and its
unreadable facts are `None`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from devrun.errors import DevrunError
from devrun.model import ProcessIdentity, ProcessRecord, ProcessSnapshot
from devrun.system.columns import NOTHING, Column

__all__ = [
    "NOTHING",
    "Column",
    "boot_id",
    "find_mentions",
    "has_ended",
    "identify",
    "is_portable",
    "prepare",
    "read_details",
    "read_lineage",
    "read_snapshot",
]


class Table(Protocol):
    """What a backend offers; a module is one."""

    def read_rows(self, columns: Column = NOTHING, pids: Iterable[int] | None = None, /) -> Iterator[ProcessRecord]:
        """Yield the cheap columns of everybody (of `pids`), the dear `columns` of this user's processes."""
        ...

    def read_facts(self, record: ProcessRecord, columns: Column, /) -> ProcessRecord | None:
        """Fill in the dear columns; None when that process is gone."""
        ...

    def find_mentions(self, words: Collection[str], /) -> frozenset[int] | None:
        """Return the pids that have one of `words` in the command line; None where that is no cheaper than reading."""
        ...

    def identify(self, pid: int, /) -> ProcessIdentity | None:
        """Return who has `pid` now."""
        ...

    def has_ended(self, identity: ProcessIdentity, /) -> bool:
        """Whether this process is gone, a zombie, or has a successor with its pid."""
        ...

    def boot_id(self) -> str:
        """Return what tells this boot from every other."""
        ...


def read_snapshot(*, columns: Column = NOTHING) -> ProcessSnapshot:
    """Read the cheap columns of every process; who listens is not among them (`sockets`).

    `columns` are filled in for all processes of this user in the same pass, which is half as dear as
    `read_details` over all of them: no process has to be identified twice.
    """
    return ProcessSnapshot(_table().read_rows(columns), self_pid=os.getpid(), boot_id=boot_id())


def read_lineage(pid: int) -> ProcessSnapshot:
    """Read the cheap columns of a process and its ancestors alone: a walk of a few steps, however full the machine."""
    rows: dict[int, ProcessRecord] = {}
    above: int | None = pid
    while above and above not in rows:
        found = next(iter(_table().read_rows(NOTHING, (above,))), None)
        if found is None:
            break
        rows[above] = found
        above = found.ppid
    return ProcessSnapshot(rows.values(), self_pid=os.getpid(), boot_id=boot_id())


def read_details(snapshot: ProcessSnapshot, pids: Iterable[int], columns: Column = Column.ALL) -> ProcessSnapshot:
    """Return the snapshot with the dear columns of `pids` filled in, and without those of them that are gone.

    A pid that now belongs to another process counts as gone.  Facts of columns that were not asked
    for stay as they are.
    """
    table = _table()
    rows: dict[int, ProcessRecord] = {record.pid: record for record in snapshot}
    for pid in dict.fromkeys(pids):
        record = rows.get(pid)
        if record is None:
            continue
        filled = table.read_facts(record, columns)
        if filled is None:
            del rows[pid]
        else:
            rows[pid] = filled
    return ProcessSnapshot(
        rows.values(), self_pid=snapshot.self_pid, boot_id=snapshot.boot_id, listeners=snapshot.listeners
    )


def find_mentions(words: Collection[str]) -> frozenset[int] | None:
    """Return who may have one of `words` in the command line: a cheap look at everybody, for a text that few have.

    It only narrows down: there is no identity in it, so whoever is found is read again and judged by
    that.  None where there is no cheap look: everybody may.  Without words nobody does.
    """
    return _table().find_mentions(words) if words else frozenset()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of whoever has `pid` now, zombies included; None when nobody has, or it is hidden."""
    return _table().identify(pid) if pid > 0 else None


def has_ended(identity: ProcessIdentity) -> bool:
    """Whether this very process is gone.  A zombie is: only its parent's `wait` is missing.  Hidden is not gone."""
    return _table().has_ended(identity)


@functools.cache
def boot_id() -> str:
    """Return the id of this boot: start tokens of two boots say nothing about each other."""
    return _table().boot_id()


def prepare() -> None:
    """Import and find out by trying whatever reading and stopping need.

    Whoever must be able to stop processes later calls this at its start: the files devrun runs from
    may lie in the worktree that is being removed.
    """
    from devrun.system import control, execute, sockets  # noqa: F401 - imported is all that execute needs

    boot_id()
    sockets.table()
    control.pidfd_works()


def is_portable() -> bool:
    """Whether only what every POSIX system has may be used (`DEVRUN_PORTABLE=1`, or no Linux)."""
    return sys.platform != "linux" or os.environ.get("DEVRUN_PORTABLE", "") not in ("", "0")


def _table() -> Table:
    return _choose_table(portable=is_portable())


@functools.cache
def _choose_table(*, portable: bool) -> Table:
    if not portable:
        from devrun.system import linux_table

        if linux_table.works():
            return linux_table
        raise DevrunError(
            "the process table in /proc is missing or belongs to another pid namespace",
            hint="mount the container's own /proc: `mount -t proc proc /proc`",
        )
    from devrun.system import portable_table

    return portable_table
