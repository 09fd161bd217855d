"""Worktrees as answers: a row each, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devrun.model import PortSet
from devrun.report.answers import WorktreeRow
from devrun.report.columns import columns
from devrun.report.console import Output
from devrun.report.ports import flat

_HEADER = ("worktree", "branch", "slot", "run", "memory", "ports")


def worktree_row(
    path: str, branch: str | None, ports: PortSet | None, *, run: str | None = None, rss: int | None = None
) -> WorktreeRow:
    """Return the row of a worktree; without a lease it has no `ports`, without a live `run` no memory."""
    return WorktreeRow(
        path=path,
        branch=branch,
        slot=None if ports is None else ports.slot,
        run=run,
        ports={} if ports is None else flat(ports),
        rss=rss,
    )


def worktree_lines(rows: Sequence[WorktreeRow], output: Output) -> Iterator[str]:
    """Yield a line per worktree of the repository."""
    table = [
        (
            row.path,
            row.branch or "(detached)",
            "-" if row.slot is None else str(row.slot),
            "-" if row.run is None else "running",
            "-" if row.rss is None else f"{row.rss / 1_000_000:.0f} MB",
            ", ".join(f"{name} {port}" for name, port in row.ports.items()) or "-",
        )
        for row in rows
    ]
    return columns(_HEADER, table, head=lambda line: output.style(line, "dim"))
