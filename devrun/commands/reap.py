"""`devrun reap [PATH]`: stop the servers of one worktree, before or after its folder is gone."""

from __future__ import annotations

from devrun.cleanup import reap
from devrun.errors import IncompleteError, UsageError
from devrun.report.cleaning import skipped_lines, sweep_data, sweep_lines
from devrun.report.console import Output
from devrun.state import open_state
from devrun.system.folders import current_folder
from devrun.workspace import sweep_settings


def run(output: Output, *, path: str | None, dry_run: bool) -> int:
    """Reap; silent when there was nothing to stop, 1 when something survived."""
    if path == "":  # a variable that was not set: the current folder was not meant
        raise UsageError("`devrun reap` needs a PATH that is not empty", hint="`devrun reap ../feature-x`")
    with open_state(create=not dry_run) as state:
        folder = path or current_folder()
        report = reap(state, folder, settings=sweep_settings(folder), is_named=path is not None, dry_run=dry_run)
    for line in skipped_lines(report):
        output.say(line)
    output.answer("reap", sweep_data(report), sweep_lines(report, dry_run=dry_run))
    return IncompleteError.exit_code if report.survivors else 0
