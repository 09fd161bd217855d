"""`devrun take`: an `up` on the main checkout's plain ports, which are given back when the run ends."""

from __future__ import annotations

from typing import Any

from devrun.report.console import Output
from devrun.run.bringup import bring_up


def run(output: Output, **options: Any) -> int:
    """Start what was asked for; in the foreground, return the exit code of the run."""
    return bring_up(output, taking=True, **options)
