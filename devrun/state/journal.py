"""The journal: who was stopped or spared, when, by which command and why.  Bounded."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from devrun.state.database import Database

KEPT_ROWS = 20_000
"""About 6 MB.  Fewer forgets last week on a machine with many agents; more slows `devrun history`."""

YEAR_9999 = 253_402_300_799
"""The end of the years that can be shown: a later time was not written by devrun."""


class JournalRow(Struct, frozen=True):
    """One process and what happened to it; `verb` is the devrun command that did it.

    The rest are the columns of a process row (`command` is the process's command line).
    """

    verb: str
    pid: int | None = None
    command: str | None = None
    cwd: str | None = None
    worktree: str | None = None
    service: str | None = None
    action: str | None = None
    reason: str | None = None
    detail: str | None = None
    outcome: str | None = None
    time: Annotated[float, Meta(ge=0, le=YEAR_9999)] = 0.0


class Journal:
    """The table of past acts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Iterable[JournalRow]) -> None:
        """Add rows (a `time` of 0 means now) and drop the oldest beyond the bound."""
        now = time.time()
        stamped = [msgspec.structs.replace(row, time=now) if row.time == 0 else row for row in rows]
        if not stamped:
            return
        with self._database.writing():
            self._database.execute_many(
                "INSERT INTO journal (time, record) VALUES (?, ?)",
                [(row.time, _encode(row)) for row in stamped],
            )
            self._database.execute("DELETE FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?", (KEPT_ROWS,))

    def history(self, *, since: float = 0.0, limit: int | None = None) -> list[JournalRow]:
        """Return the rows at or after `since` (seconds since the epoch), the last `limit`, oldest first."""
        rows = self._database.read(
            _row,
            "SELECT record FROM journal WHERE time >= ? ORDER BY id DESC LIMIT ?",
            (since, -1 if limit is None else limit),
        )
        return rows[::-1]


def _encode(row: JournalRow) -> bytes:
    """Return a row as JSON; bytes of a path that are no UTF-8 become U+FFFD."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        texts = {name: value for name, value in msgspec.structs.asdict(row).items() if isinstance(value, str)}
        legible = {
            name: value.encode(errors="surrogateescape").decode(errors="replace") for name, value in texts.items()
        }
        return msgspec.json.encode(msgspec.structs.replace(row, **legible))


_decode = msgspec.json.Decoder(JournalRow).decode


def _row(row: tuple[Any, ...]) -> JournalRow:
    return _decode(row[0])
