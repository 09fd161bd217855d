"""`State`: the open state folder, in one object that is handed from room to room.

A writer makes the folder and the database when they are missing; a reader (`create=False`) makes
and writes nothing, and an absent state is an empty one.  Not for use across a fork: close it
before, open it again behind.  Every method raises StateError when the database fails under it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Self

from devrun.state.database import Database, explained, open_readable, open_writable
from devrun.state.folder import prepare_folder, state_folder, unusable
from devrun.state.journal import Journal
from devrun.state.leases import Leases
from devrun.state.runs import Runs

_LONGEST_NAME = 128  # of a lock, in bytes: encrypted file systems take 143


def open_state(*, create: bool = True, path: str | None = None, wait: float | None = None) -> State:
    """Open the state folder; `create=False` for commands that only read.

    `path` names another folder than the environment's (a service's stamp does); `wait` says how many seconds
    to wait for other writers, already while it is opened, where that is less than usual.  Raises StateError
    with path and hint when the folder or the database cannot be used.
    """
    folder = state_folder() if path is None else os.path.realpath(path)
    if create:
        prepare_folder(folder)
        return State(folder, open_writable(folder, wait=wait))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise unusable(folder, "not a folder")
    return State(folder, open_readable(folder))


class State:
    """Leases, runs and journal of one state folder.

    `path` is the folder's real path (what `DEVRUN_STATE_DIR` of a stamp says).
    """

    def __init__(self, path: str, database: Database) -> None:
        self.path = path
        self._database = database
        self.leases = Leases(database)
        self.runs = Runs(path, database)
        self.journal = Journal(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._database.writable

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        self._database.close()

    def wait_at_most(self, seconds: float) -> None:
        """From now on, wait only so long for another who writes: for a run, which has services to look after."""
        self._database.wait_at_most(seconds)

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Hold the one machine-wide lock for a read–choose–write of several parts."""
        return self._database.writing()

    def worktree_lock_path(self, identity: str) -> str:
        """Return the path of a worktree's lock, making its folder when this state may write."""
        folder = os.path.join(self.path, "locks")
        if self.writable:
            with explained(folder):
                os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.path.join(folder, f"{_file_name(identity)}.lock")


def _file_name(identity: str) -> str:
    """Return a file name that no other identity has: the path without its slashes, a hash when that is too long."""
    name = identity.replace("%", "%25").replace("/", "%2f")
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    from hashlib import sha256  # OpenSSL takes 2 ms to load

    return sha256(os.fsencode(identity)).hexdigest()
