"""What the journal remembers beside processes: leases given back, files and worktrees removed, refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from devrun.cleanup.values import FileRow
from devrun.errors import StateError
from devrun.state import State
from devrun.state.journal import JournalRow
from devrun.state.leases import Lease

REMOVAL = "worktree remove"
REMOVED = "worktree-removed"
"""The reason of the row that says a worktree was removed: by it a second removal knows the first."""


def remember(state: State, rows: Iterable[JournalRow]) -> bool:
    """Write rows; return False where that failed.  A journal that cannot be written stops nobody's clean-up."""
    found = list(rows)
    with contextlib.suppress(StateError):
        if found and state.writable:
            state.journal.record(found)
        return True
    return False


def lease_row(verb: str, lease: Lease, why: str) -> JournalRow:
    """Return the row of a lease that was given back."""
    detail = slot_and_ports(lease)
    return JournalRow(verb=verb, worktree=lease.root, action="release", reason=why, detail=detail, outcome="released")


def slot_and_ports(lease: Lease) -> str:
    """Return what a lease gives back, in words: `slot 2 (ports 3020, 3021)`."""
    ports = sorted({port for named in lease.ports.ports.values() for port in named.values()})
    numbers = f" (port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))})" if ports else ""
    return f"slot {lease.slot}{numbers}"


def file_row(verb: str, file: FileRow) -> JournalRow:
    """Return the row of a file that was removed."""
    return JournalRow(
        verb=verb, action=file.action, reason="pidfile", detail=f"`{file.path}`: {file.reason}", outcome=file.outcome
    )


def removal_row(root: str, detail: str) -> JournalRow:
    """Return the row of a worktree that git removed."""
    return JournalRow(verb=REMOVAL, worktree=root, action="remove", reason=REMOVED, detail=detail, outcome="removed")


def refusal_row(root: str, reason: str, detail: str) -> JournalRow:
    """Return the row of a removal that was refused."""
    return JournalRow(verb=REMOVAL, worktree=root, action="spare", reason=reason, detail=detail)


def removed_roots(state: State) -> tuple[str, ...]:
    """Return the worktrees whose removal the journal remembers, newest first."""
    rows = (row.worktree for row in reversed(state.journal.history()) if row.reason == REMOVED)
    return tuple(dict.fromkeys(root for root in rows if root is not None))


def was_removed(state: State, root: str) -> bool:
    """Say whether the journal remembers that this worktree was removed."""
    return root in removed_roots(state)
