"""`devrun up`: start the services of this worktree, and stay until they end or leave them in the background."""

from __future__ import annotations

from typing import Any

from devrun.report.console import Output
from devrun.run.bringup import bring_up


def run(output: Output, **options: Any) -> int:
    """Start what was asked for; in the foreground, return the exit code of the run."""
    return bring_up(output, taking=False, **options)
