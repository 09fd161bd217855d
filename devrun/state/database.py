"""The file `state.db`: opening, schema, migration, and SQLite's errors in people's words.

WAL with `synchronous=NORMAL`: readers never wait, a commit costs no fsync, and a SIGKILL at any
instruction loses nothing that was committed and doubles nothing that was not (only a power cut may
lose the last commits; nothing tears).  A write is one `BEGIN IMMEDIATE` transaction: that is the
one machine-wide lock.  Creation and migration happen under a file lock, in one transaction each.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from devrun.errors import StateError, reason_of
from devrun.state.folder import read_only, unusable
from devrun.system.locks import FileLock

FILE = "state.db"
LOCK_WAIT = 10.0
"""Seconds a writer waits for the others.  Shorter refuses on a machine that starts dozens at once;
longer looks like a hang when a holder was stopped with Ctrl-Z in the middle of a write."""
BRIEFLY = 0.5
"""The same for a run that has more urgent things to do.  Shorter leaves lines out of the journal where many
write at once; longer eats up the grace of services that are to be stopped."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE leases (
        identity TEXT PRIMARY KEY, repository TEXT, slot INTEGER NOT NULL, revision INTEGER NOT NULL,
        surplus INTEGER NOT NULL DEFAULT 0, record BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX leases_by_repository ON leases (repository, slot);
    CREATE TABLE lease_ports (
        port INTEGER NOT NULL, identity TEXT NOT NULL, shifted INTEGER NOT NULL, PRIMARY KEY (port, identity)
    ) WITHOUT ROWID;
    CREATE INDEX lease_ports_by_identity ON lease_ports (identity);
    CREATE TABLE holds (port INTEGER PRIMARY KEY, identity TEXT NOT NULL, service TEXT NOT NULL);
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, identity TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL, record BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX runs_by_identity ON runs (identity);
    CREATE TABLE journal (id INTEGER PRIMARY KEY, time REAL NOT NULL, record BLOB NOT NULL);
    CREATE INDEX journal_by_time ON journal (time);
    """,
)
"""Step n takes schema n to n + 1.  Steps are only added: a state folder outlives many devruns."""

SCHEMA = len(MIGRATIONS)

Record = TypeVar("Record")


class Database:
    """The open database: rows out, and changes in one transaction at a time."""

    def __init__(self, folder: str, connection: sqlite3.Connection, *, writable: bool) -> None:
        self.path = os.path.join(folder, FILE)
        self.writable = writable
        self._connection: sqlite3.Connection | None = connection

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT; none for a path that is no text, which is never recorded."""
        connection = self._open()
        with explained(self.path):
            try:
                return connection.execute(statement, values).fetchall()
            except UnicodeEncodeError:
                return []

    def read(
        self, make: Callable[[tuple[Any, ...]], Record], statement: str, values: Sequence[object] = ()
    ) -> list[Record]:
        """Return the records that `make` makes of the rows of a SELECT; one that is damaged is a corrupt state."""
        rows = self.query(statement, values)
        with explained(self.path):
            try:
                return [make(row) for row in rows]
            except TypeError as error:  # a number where a record was
                raise _corrupt(self.path, f"a record cannot be read ({error})") from error

    def execute(self, statement: str, values: Sequence[object] = ()) -> int:
        """Change rows, inside `writing`; return how many."""
        return self._open().execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Change rows, inside `writing`."""
        self._open().executemany(statement, rows)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the machine-wide lock for one read–choose–write: all of it is kept, or nothing.

        Inside another `writing` the outer one goes on.
        """
        if not self.writable:
            raise StateError(f"state `{self.path}` is open for reading only")
        connection = self._open()
        with explained(self.path):
            if connection.in_transaction:
                yield
            else:
                with _transaction(connection):
                    yield

    def wait_at_most(self, seconds: float) -> None:
        """Give up sooner than after LOCK_WAIT where another holds the lock."""
        connection = self._open()
        with explained(self.path):
            connection.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")

    def close(self) -> None:
        """Close it; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"state `{self.path}` is closed")
        return self._connection


def open_writable(folder: str, *, wait: float | None = None) -> Database:
    """Open (make, migrate) the database of an existing folder for reading and writing.

    `wait` is for others who hold a lock, in seconds: LOCK_WAIT, or less.
    """
    path, wait = os.path.join(folder, FILE), LOCK_WAIT if wait is None else wait
    with explained(path):
        if _is_there(path):
            connection = _connect(path, "rw", wait)
            if _version(connection, path) == SCHEMA:
                return Database(folder, connection, writable=True)
            connection.close()
        return Database(folder, _create(folder, path, wait), writable=True)


def open_readable(folder: str) -> Database:
    """Open the database for reading only; nothing is made, an absent one is empty.

    An older schema is read through a migrated copy in memory.
    """
    path = os.path.join(folder, FILE)
    with explained(path):
        if not _is_there(path):
            return Database(folder, _in_memory(None), writable=False)
        connection = _connect_readable(path)
        if _version(connection, path) < SCHEMA:
            old = connection
            connection = _in_memory(old)
            old.close()
        return Database(folder, connection, writable=False)


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn SQLite's errors into a StateError with the path and the way out."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise StateError(
                f"state `{path}` was locked by another devrun for {LOCK_WAIT:.0f} s", hint="`devrun ps --all`"
            ) from error
        if "readonly" in text:
            raise read_only(path) from error
        if any(words in text for words in ("malformed", "no such", "already exists")):
            raise _corrupt(path, text) from error
        raise unusable(path, text) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # a broken constraint or a wrong call is a bug of devrun's, not of the file
        raise _corrupt(path, str(error)) from error
    except msgspec.DecodeError as error:
        raise _corrupt(path, f"a record cannot be read ({error})") from error
    except OSError as error:
        raise unusable(path, reason_of(error)) from error


def rebuild_command(path: str) -> str:
    """Return the command that sets a corrupt database aside; the next `up` makes a new one."""
    import shlex

    return f"mv {shlex.quote(path)} {shlex.quote(path + '.broken')}"


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")  # which may fail, too, and leave the transaction open
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _corrupt(path: str, reason: str) -> StateError:
    return StateError(
        f"state `{path}` is corrupt: {reason}",
        hint=f"`{rebuild_command(path)}`; leases are chosen again, the same where they are still free",
    )


def _connect(path: str, mode: str, wait: float | None = None) -> sqlite3.Connection:
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    timeout = LOCK_WAIT if wait is None else wait
    connection = sqlite3.connect(f"file:{quoted}?mode={mode}", uri=True, timeout=timeout, isolation_level=None)
    if not mode.startswith("ro"):
        connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect_readable(path: str) -> sqlite3.Connection:
    """Open for reading; what a killed writer left half done is rolled back by SQLite itself.

    For that it must be allowed to write (query_only keeps us from it).  In a folder where nobody can
    write nobody does, so there the file is read as it stands.
    """
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if not os.access(os.path.dirname(path), os.W_OK) or not os.access(path, os.W_OK):
            return _connect(path, "ro&immutable=1")
        connection = _connect(path, "rw")
        connection.execute("PRAGMA query_only=ON")
    return connection


def _is_there(path: str) -> bool:
    """Tell whether the file is there; one that cannot be looked for is no absent one: raises OSError.

    So does what is no file: opening a FIFO would wait for ever.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(mode):
        raise OSError("not a file")
    return True


def _version(connection: sqlite3.Connection, path: str) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise StateError(
            f"state `{path}` was written by a newer devrun (schema {version}, this one knows {SCHEMA})",
            hint="`pip install --upgrade devrun`",
        )
    return version


def _create(folder: str, path: str, wait: float) -> sqlite3.Connection:
    lock = FileLock.take(os.path.join(folder, "create.lock"), wait=wait)
    if lock is None:
        raise StateError(f"state folder `{folder}` is being prepared by another devrun for {wait:g} s")
    with lock:
        mask = os.umask(0o077)
        try:
            connection = _connect(path, "rwc", wait)
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            os.umask(mask)
        with _transaction(connection):
            _migrate(connection, _version(connection, path))
        return connection


def _in_memory(source: sqlite3.Connection | None) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if source is not None:
        source.backup(connection)
    _migrate(connection, connection.execute("PRAGMA user_version").fetchone()[0])
    connection.execute("PRAGMA query_only=ON")
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    # Not executescript: it would commit the transaction that makes a migration whole or nothing.
    for step in MIGRATIONS[version:]:
        for statement in step.split(";"):
            if statement.strip():
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA}")
