"""`devrun stop SERVICE…`: stop services of this worktree's run, and what depends on them; the run goes on."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.run.talk import protocol
from devrun.run.talk.changing import change_services


def run(output: Output, *, services: list[str], file: str | None) -> int:
    """Stop them and wait until their processes are gone."""
    return change_services(output, protocol.STOP, services, file=file)
