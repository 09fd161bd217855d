"""`devrun sweep`: stop what is left over on this machine."""

from __future__ import annotations

from devrun.cleanup import sweep
from devrun.config.load import load_project
from devrun.config.project import Project, SweepSettings
from devrun.errors import DevrunError, IncompleteError, NotARepositoryError
from devrun.report.cleaning import skipped_lines, sweep_data, sweep_lines
from devrun.report.console import Output
from devrun.state import open_state
from devrun.system.folders import current_folder


def run(output: Output, *, dry_run: bool, explain: bool) -> int:
    """Sweep; silent when there was nothing to stop, 1 when something survived."""
    project = _project(output)
    settings, root = (SweepSettings(), None) if project is None else (project.to_sweep, project.root)
    with open_state(create=not dry_run) as state:
        report = sweep(state, settings=settings, root=root, dry_run=dry_run)
    for line in skipped_lines(report):
        output.say(line)
    output.answer("sweep", sweep_data(report), sweep_lines(report, dry_run=dry_run, explain=explain))
    return IncompleteError.exit_code if report.survivors else 0


def _project(output: Output) -> Project | None:
    """Return the configuration here.  A sweep is for the machine and goes on without one."""
    try:
        return load_project(start=current_folder())
    except NotARepositoryError:
        return None
    except DevrunError as error:
        if error.where is not None:
            output.say(f"swept without the configuration: {error.where}: {error.lines[0]}")
        return None
