"""`State`: the open state folder, in one object that is handed from room to room.

A writer makes the folder and the database when they are missing; a reader (`create=False`) makes
and writes nothing, and an absent state is an empty one.  Not for use across a fork: close it
before, open it again behind.  Every method raises StateError when the database fails under it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Self

from devrun.errors import StateError
from devrun.model import Liveness, ProcessIdentity, RunRecord
from devrun.state import database
from devrun.state.folder import prepare_folder, state_folder, unusable
from devrun.state.journal import Journal, JournalRow
from devrun.state.leases import Leases
from devrun.state.runs import Runs


def open_state(*, create: bool = True, path: str | None = None) -> State:
    """Open the state folder; `create=False` for commands that only read.

    `path` names another folder than the environment's (a service's stamp does).  Raises StateError
    with path and hint when the folder or the database cannot be used.
    """
    folder = state_folder() if path is None else os.path.realpath(path)
    if create:
        prepare_folder(folder)
        return State(folder, database.open_writable(folder), writable=True)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise unusable(folder, "not a folder")
    return State(folder, database.open_readable(folder), writable=False)


class State:
    """Leases, runs and journal of one state folder.

    `path` is the folder's real path (what `DEVRUN_STATE_DIR` of a stamp says).  `leases` are rows
    for `ports.ledger`; runs and journal are used through the methods here.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self._connection: sqlite3.Connection | None = connection
        self._file = os.path.join(path, database.FILE)
        self.leases = Leases(self._open)
        self._runs = Runs(path, self._open, self._write)
        self._journal = Journal(self._open, self._write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the one machine-wide lock for a read–choose–write of several parts."""
        with self._write():
            yield

    def explained(self) -> contextlib.AbstractContextManager[None]:
        """Turn SQLite's errors inside the block into a StateError with path and hint."""
        return database.explained(self._file)

    # Runs

    def publish(self, record: RunRecord) -> None:
        """Make a run known (or replace its record); its two locks must be held by now."""
        self._runs.publish(record)

    def update(self, run_id: str, **changes: object) -> RunRecord | None:
        """Change fields of a run's record; return the new one, None when there is no such run."""
        return self._runs.update(run_id, **changes)

    def set_group(self, run_id: str, service: str, anchor: ProcessIdentity | None) -> RunRecord | None:
        """Record the anchor of one service of a run; None forgets it."""
        return self._runs.set_group(run_id, service, anchor)

    def set_groups(self, run_id: str, groups: Mapping[str, ProcessIdentity]) -> RunRecord | None:
        """Record the anchors of all services of a run."""
        return self._runs.update(run_id, groups=dict(groups))

    def end_run(self, run_id: str, *, exit_code: int | None) -> RunRecord | None:
        """Record the end of a run, now."""
        return self._runs.end(run_id, exit_code=exit_code)

    def run(self, run_id: str) -> RunRecord | None:
        """Return the record of a run, or None."""
        with self.explained():
            return self._runs.get(run_id)

    def runs(self) -> list[RunRecord]:
        """Return every recorded run, ended ones too, newest first."""
        with self.explained():
            return self._runs.all()

    def live_runs(self, identity: str | None = None) -> list[RunRecord]:
        """Return the runs (of one worktree) that are not proved dead, newest first."""
        with self.explained():
            return self._runs.alive(identity)

    def live_run(self, identity: str) -> RunRecord | None:
        """Return the newest run of a worktree that is not proved dead, or None."""
        return next(iter(self.live_runs(identity)), None)

    def liveness(self, run: RunRecord) -> Liveness:
        """Probe the locks of a run: LIVE, DEAD, or UNKNOWN when they cannot be asked."""
        return self._runs.liveness(run)

    def run_folder(self, run_id: str) -> str:
        """Return the folder of a run (locks, logs), which need not exist."""
        return self._runs.folder(run_id)

    def make_run_folder(self, run_id: str) -> str:
        """Make the folder of a new run and return it."""
        with self.explained():
            return self._runs.make_folder(run_id)

    def prune(self, *, in_use: Collection[str] | None) -> tuple[str, ...]:
        """Forget old ended runs, their logs and unused worktree locks; return the ids.

        `in_use`: the runs some process is stamped with; None (not known) forgets nothing.
        """
        with self.explained():
            return self._runs.prune(in_use=in_use)

    # Journal

    def record(self, rows: Iterable[JournalRow]) -> None:
        """Add rows to the journal."""
        self._journal.record(rows)

    def history(self, *, since: float = 0.0, limit: int | None = None) -> list[JournalRow]:
        """Return journal rows since a moment, the last `limit` of them, oldest first."""
        with self.explained():
            return self._journal.history(since=since, limit=limit)

    # Locks

    def worktree_lock_path(self, identity: str) -> str:
        """Return the path of a worktree's lock, making its folder when this state may write."""
        folder = os.path.join(self.path, "locks")
        if self.writable:
            with self.explained():
                os.makedirs(folder, mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]
        return os.path.join(folder, f"{name}.lock")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"state folder `{self.path}` is closed")
        return self._connection

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; inside `writing` the outer one goes on."""
        if not self.writable:
            raise StateError(f"state folder `{self.path}` is open for reading only")
        connection = self._open()
        with self.explained():
            if connection.in_transaction:
                yield connection
            else:
                with database.writing(connection):
                    yield connection
