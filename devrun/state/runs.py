"""The records of runs, and whether a run is alive.

A run is proved alive or dead by its locks, `keeper.lock` and `supervisor.lock` in its folder, each
held by its process from before the run is published to its end.  A process id proves nothing while
there are locks to ask, a record that says "ended" neither.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from devrun.model import Liveness, RunRecord
from devrun.state.database import Database, explained
from devrun.system.locks import probe

KEEPER_LOCK, SUPERVISOR_LOCK = "keeper.lock", "supervisor.lock"

KEPT_SECONDS = 7 * 86400.0
"""How long the logs of an ended run are kept.  Shorter loses the post-mortem of a weekend; longer
only costs disk."""
KEPT_RUNS = 200
"""The most ended runs that are kept, whatever their age: at 30 MB of logs a service, disks fill."""

_ABANDONED_SECONDS = 3600.0
"""Age at which a run folder without a record is litter: far longer than any start takes."""
_CLOSING_SECONDS = 60.0
"""How long after its recorded end a run is still asked for its locks: teardown and last lines."""


class Runs:
    """The table of runs, and the folder `runs/<id>/` of each."""

    def __init__(self, folder: str, database: Database) -> None:
        self._folder = os.path.join(folder, "runs")
        self._database = database

    def folder(self, run_id: str) -> str:
        """Return the folder of a run: locks and logs."""
        return os.path.join(self._folder, run_id)

    def make_folder(self, run_id: str) -> str:
        """Make the folder of a new run, 0700, and return it."""
        path = self.folder(run_id)
        with explained(path):
            os.makedirs(path, mode=0o700)
        return path

    def publish(self, record: RunRecord) -> None:
        """Make a run known (or replace its record).  Both locks must be held by now."""
        with self._database.writing():
            self._put(record)

    def update(self, run_id: str, **changes: object) -> RunRecord | None:
        """Change fields of a record (`groups`, `socket`, `ended_at`, …); None when there is no such run."""
        with self._database.writing():
            record = self.get(run_id)
            if record is not None:
                record = msgspec.structs.replace(record, **changes)
                self._put(record)
            return record

    def end(self, run_id: str, *, exit_code: int | None, at: float | None = None) -> RunRecord | None:
        """Record the end of a run."""
        return self.update(run_id, ended_at=time.time() if at is None else at, exit_code=exit_code)

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record of a run, or None."""
        found = self._database.read(_record, "SELECT record FROM runs WHERE id = ?", (run_id,))
        return found[0] if found else None

    def all(self) -> list[RunRecord]:
        """Return every record, newest first."""
        return self._database.read(_record, "SELECT record FROM runs ORDER BY started_at DESC, id")

    def candidates(self, identity: str | None = None) -> list[RunRecord]:
        """Return the records that may still be alive (of one worktree), newest first."""
        query = "SELECT record FROM runs WHERE (ended_at IS NULL OR ended_at > ?)"
        values: tuple[object, ...] = (time.time() - _CLOSING_SECONDS,)
        if identity is not None:
            query, values = query + " AND identity = ?", (*values, identity)
        return self._database.read(_record, query + " ORDER BY started_at DESC, id", values)

    def alive(self, identity: str | None = None) -> list[RunRecord]:
        """Return the runs (of one worktree) that are not proved dead, newest first."""
        return [run for run in self.candidates(identity) if self.liveness(run) is not Liveness.DEAD]

    def live(self, identity: str) -> RunRecord | None:
        """Return the newest run of a worktree that is not proved dead, or None."""
        return next(iter(self.alive(identity)), None)

    def liveness(self, run: RunRecord) -> Liveness:
        """Probe the locks of a run: LIVE if either is held, DEAD if neither is, else UNKNOWN.

        A run whose lock files somebody deleted is dead when keeper and supervisor are both gone.
        """
        paths = [os.path.join(self.folder(run.id), name) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)]
        answers = {probe(path) for path in paths}
        if Liveness.LIVE in answers:
            return Liveness.LIVE
        if Liveness.UNKNOWN not in answers:
            return Liveness.DEAD
        if any(map(os.path.lexists, paths)) or not _processes_are_gone(run):
            return Liveness.UNKNOWN
        return Liveness.DEAD

    def prune(self, *, in_use: Collection[str] | None, now: float | None = None) -> tuple[str, ...]:
        """Forget old ended runs and their folders; return their ids.

        `in_use` are the runs that some process is still stamped with; None (not known) forgets
        nobody.  Runs that are proved dead are marked as ended on the way, live ones never touched.
        """
        if in_use is None:
            return ()
        moment = time.time() if now is None else now
        dead: list[RunRecord] = []
        for run in self.all():
            if run.id in in_use or self.liveness(run) is not Liveness.DEAD:
                continue
            if run.ended_at is None:
                self.end(run.id, exit_code=None, at=moment)
            dead.append(run)
        old = [run for run in dead if run.ended_at is not None and moment - run.ended_at > KEPT_SECONDS]
        old += [run for run in dead[KEPT_RUNS:] if run not in old]
        for run in old:  # the record first: a folder without a record is litter, the reverse stays unknown
            with self._database.writing():
                self._database.execute("DELETE FROM runs WHERE id = ?", (run.id,))
            _remove_folder(self.folder(run.id))
        return (*(run.id for run in old), *self._prune_litter(in_use, moment))

    def _prune_litter(self, in_use: Collection[str], moment: float) -> Iterator[str]:
        """Remove folders that no record knows: a start that was killed before it was published."""
        known = {row[0] for row in self._database.query("SELECT id FROM runs")}
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return
        for name in names:
            path = self.folder(name)
            if name in known or name in in_use:
                continue
            locks = [os.path.join(path, lock) for lock in (KEEPER_LOCK, SUPERVISOR_LOCK)]
            held = any(os.path.lexists(lock) and probe(lock) is not Liveness.DEAD for lock in locks)
            with contextlib.suppress(OSError):
                if not held and moment - os.lstat(path).st_mtime > _ABANDONED_SECONDS:
                    _remove_folder(path)
                    yield name

    def _put(self, record: RunRecord) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO runs (id, identity, started_at, ended_at, record) VALUES (?, ?, ?, ?, ?)",
            (record.id, record.worktree_identity, record.started_at, record.ended_at, msgspec.json.encode(record)),
        )


def _remove_folder(path: str) -> None:
    from shutil import rmtree  # it loads four compressors, and few starts have something to remove

    rmtree(path, ignore_errors=True)


def _processes_are_gone(run: RunRecord) -> bool:
    from devrun.system.processes import boot_id, has_ended

    if run.boot_id != boot_id():
        return True
    return all(each is not None and has_ended(each) for each in (run.keeper, run.supervisor))


_decode = msgspec.json.Decoder(RunRecord).decode


def _record(row: tuple[Any, ...]) -> RunRecord:
    return _decode(row[0])
