"""`devrun restart SERVICE…`: stop services of this worktree's run and start them again."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.run.talk import protocol
from devrun.run.talk.changing import change_services


def run(output: Output, *, services: list[str], file: str | None) -> int:
    """Restart them and wait until they are ready."""
    return change_services(output, protocol.RESTART, services, file=file)
