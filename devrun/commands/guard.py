"""`devrun guard SERVICE…`: clear the way of services, usable alone before any other start command."""

from __future__ import annotations

from devrun.cleanup import guard, target_of
from devrun.config.select import find_services
from devrun.errors import IncompleteError, RefusedError
from devrun.ports.ledger import claim
from devrun.report.cleaning import guard_data, guard_lines
from devrun.report.console import Output
from devrun.state import open_state
from devrun.workspace import open_workspace


def run(output: Output, *, services: list[str], file: str | None, dry_run: bool, force: bool) -> int:
    """Stop stale copies and orphans; 3 when somebody who must not be stopped is in the way."""
    workspace = open_workspace(file=file)
    project = workspace.project
    wanted = {each.name: each for each in find_services(services, project)}
    with open_state(create=not dry_run) as state:
        ports = claim(state, workspace.worktree, project, say=output.say, dry_run=dry_run)
        targets = [target_of(each, ports, force=force) for each in wanted.values()]
        grace = max(each.stop.timeout for each in wanted.values())
        report = guard(state, workspace.worktree, targets, dry_run=dry_run, settings=project.sweep, grace=grace)
    output.answer("guard", guard_data(report), guard_lines(report, dry_run=dry_run))
    if report.survivors:
        return IncompleteError.exit_code
    for each in report.blocked:
        output.complain(each.message or "", hint=each.hint)
    return RefusedError.exit_code if report.blocked else 0
