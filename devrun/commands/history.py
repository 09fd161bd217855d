"""`devrun history`: what was stopped, refused, removed and released, by which command and why.  Only reads."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.report.history import history_data, history_lines
from devrun.state import open_state
from devrun.workspace import check_lines


def run(output: Output, *, since: str | None, lines: int | None) -> int:
    """Print the journal, oldest first."""
    check_lines(lines, hint="`devrun history -n 100`")
    start = 0.0
    if since is not None:
        from devrun.run.output.logtime import moment_of

        start = moment_of(since)
    with open_state(create=False) as state:
        rows = state.journal.history(since=start, limit=lines)
    output.answer("history", history_data(rows), history_lines(rows))
    return 0
