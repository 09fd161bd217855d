"""`devrun start SERVICE…`: start services of this worktree's run, and what they depend on."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.run.talk import protocol
from devrun.run.talk.changing import change_services


def run(output: Output, *, services: list[str], file: str | None) -> int:
    """Start them and wait until they are ready."""
    return change_services(output, protocol.START, services, file=file)
