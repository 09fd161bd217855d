"""The table of leases: which worktree has which slot, and which ports are therefore taken.

Rows only; who may have what is decided in `ports.ledger`.  Every change gives a lease a new
revision, so that a release decided on an old reading does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from devrun.model import FileId, PortBase, PortSet
from devrun.state.database import Database


class Lease(Struct, frozen=True):
    """The recorded slot of a worktree, and what is needed to choose it again or to see it is gone.

    `root` is the top at the last claim, `file_id` its device and inode; the two devices are those
    of the folders that contain the worktree and the repository: a volume that is unmounted shows
    another device there.  `revision` is not stored in the record but beside it.
    """

    identity: str
    root: str
    repository: str | None
    slug: str
    is_main: bool
    slot: int
    stride: int
    pinned: bool
    bases: tuple[PortBase, ...]
    claimed_at: float
    file_id: FileId | None = None
    parent_device: int | None = None
    repository_parent_device: int | None = None
    revision: int = 0
    surplus: bool = False

    @property
    def ports(self) -> PortSet:
        """The ports of the lease."""
        return self._at(self.slot)

    @property
    def taken(self) -> PortSet:
        """The plain ports, as the main checkout has them: those of a run that took them."""
        return self._at(0)

    def _at(self, slot: int) -> PortSet:
        offset = slot * self.stride
        ports: dict[str, dict[str, int]] = {}
        for base in self.bases:
            ports.setdefault(base.service, {})[base.name] = base.at(offset)
        return PortSet(slot=slot, offset=offset, ports=ports)


class Hold(NamedTuple):
    """Who last started a service on a plain port."""

    identity: str
    service: str


class Leases:
    """The tables of leases, of their ports and of the holds on plain ports.

    `put`, `hold` and `remove` belong inside `State.writing`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, identity: str) -> Lease | None:
        """Return the lease of a worktree, or None."""
        found = self._database.read(_lease, f"{_SELECT} WHERE identity = ?", (identity,))
        return found[0] if found else None

    def all(self) -> list[Lease]:
        """Return every lease, by repository, slot and path."""
        leases = self._database.read(_lease, _SELECT)
        return sorted(leases, key=lambda lease: (lease.repository or lease.root, lease.slot, lease.root))

    def slots_of(self, repository: str, *, besides: str) -> set[int]:
        """Return the slots that are leased in one repository."""
        rows = self._database.query(
            "SELECT slot FROM leases WHERE repository = ? AND identity != ?", (repository, besides)
        )
        return {row[0] for row in rows}

    def taken_ports(self, *, besides: str) -> set[int]:
        """Return every port that some other lease has."""
        rows = self._database.query("SELECT port FROM lease_ports WHERE identity != ?", (besides,))
        return {row[0] for row in rows}

    def holders(self, ports: Iterable[int], *, besides: str, shifted: bool | None = None) -> list[Lease]:
        """Return the other leases that have one of `ports` (only as shifted, only as plain ones)."""
        found: dict[str, Lease] = {}
        for port in ports:
            holders = self._database.read(_holder, _SELECT_HOLDERS, (port, besides))
            found |= {lease.identity: lease for lease, moved in holders if shifted is None or moved is shifted}
        return list(found.values())

    def ports_of(self, identity: str) -> dict[int, bool]:
        """Return the ports a lease has, and which are shifted.

        While its run lives, those of the configuration that the run was started with are among them.
        """
        return dict(self._database.query("SELECT port, shifted FROM lease_ports WHERE identity = ?", (identity,)))

    def put(self, lease: Lease, ports: Mapping[int, bool], *, surplus: bool = False) -> None:
        """Write a lease with exactly these ports (port → whether it is shifted)."""
        plain = msgspec.structs.replace(lease, revision=0, surplus=False)
        self._database.execute(
            "INSERT INTO leases (identity, repository, slot, revision, surplus, record) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (identity) DO UPDATE SET repository = excluded.repository, slot = excluded.slot, "
            "revision = excluded.revision, surplus = excluded.surplus, record = excluded.record",
            (lease.identity, lease.repository, lease.slot, time.time_ns(), surplus, msgspec.json.encode(plain)),
        )
        self._database.execute("DELETE FROM lease_ports WHERE identity = ?", (lease.identity,))
        rows = [(port, lease.identity, shifted) for port, shifted in ports.items()]
        self._database.execute_many("INSERT INTO lease_ports (port, identity, shifted) VALUES (?, ?, ?)", rows)

    def remove(self, lease: Lease) -> bool:
        """Remove a lease that is still at the revision that was read; tell whether it was."""
        gone = self._database.execute(
            "DELETE FROM leases WHERE identity = ? AND revision = ?", (lease.identity, lease.revision)
        )
        if gone:
            self._database.execute("DELETE FROM lease_ports WHERE identity = ?", (lease.identity,))
            self._database.execute("DELETE FROM holds WHERE identity = ?", (lease.identity,))
        return bool(gone)

    def holds(self) -> dict[int, Hold]:
        """Return who last started a service on which plain port."""
        rows = self._database.query("SELECT port, identity, service FROM holds")
        return {row[0]: Hold(row[1], row[2]) for row in rows}

    def hold(self, identity: str, ports: Mapping[int, str]) -> None:
        """Record who starts services on plain ports (port → service)."""
        rows = [(port, identity, service) for port, service in ports.items()]
        self._database.execute_many("INSERT OR REPLACE INTO holds (port, identity, service) VALUES (?, ?, ?)", rows)


_SELECT = "SELECT identity, revision, surplus, record FROM leases"
_SELECT_HOLDERS = (
    "SELECT identity, revision, surplus, record, shifted FROM leases JOIN lease_ports USING (identity) "
    "WHERE port = ? AND identity != ?"
)
_decode = msgspec.json.Decoder(Lease).decode


def _lease(row: tuple[Any, ...]) -> Lease:
    return msgspec.structs.replace(_decode(row[3]), revision=row[1], surplus=bool(row[2]))


def _holder(row: tuple[Any, ...]) -> tuple[Lease, bool]:
    return _lease(row), bool(row[4])
