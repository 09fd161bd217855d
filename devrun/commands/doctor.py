"""`devrun doctor`: what is wrong, what is left over, and why devrun leaves the rest alone.  Only looks."""

from __future__ import annotations

from devrun.cleanup import sweep
from devrun.cleanup.diagnosis import Patient, diagnose
from devrun.cleanup.values import ERROR, Finding, SweepReport
from devrun.config.load import load_project
from devrun.config.problems import InvalidConfigError
from devrun.config.project import Project, SweepSettings
from devrun.errors import ConfigError, DevrunError, IncompleteError
from devrun.model import Worktree
from devrun.report.console import Output
from devrun.report.diagnosis import doctor_data, doctor_lines
from devrun.state import open_state
from devrun.system.folders import last_folder
from devrun.worktrees.locate import locate
from devrun.worktrees.survey import Survey


def run(output: Output, *, file: str | None) -> int:
    """Show every finding; 1 when there is one that keeps devrun from its work."""
    here = last_folder()
    project, findings = _project(here, file)
    swept = SweepReport()
    try:
        with open_state(create=False) as state:
            survey = Survey()
            settings = SweepSettings() if project is None else project.to_sweep
            root = None if project is None else project.root
            swept = sweep(state, settings=settings, dry_run=True, survey=survey, root=root)
            patient = Patient(state, survey, swept, _worktree(here if project is None else project.root), project)
            findings += diagnose(patient)
    except DevrunError as error:
        findings.append(Finding(error.where, error.message, error.hint, ERROR))
    output.answer("doctor", doctor_data(findings, swept), doctor_lines(findings, swept, output))
    return IncompleteError.exit_code if any(each.severity == ERROR for each in findings) else 0


def _project(here: str, file: str | None) -> tuple[Project | None, list[Finding]]:
    """Return the configuration here.  None at all is no finding: a doctor is for the machine, too."""
    try:
        return load_project(start=here, file=file), []
    except InvalidConfigError as error:
        return None, [Finding(str(each.place), each.message, each.hint, ERROR) for each in error.problems]
    except ConfigError as error:
        missing = error.where is None and file is None
        return None, [] if missing else [Finding(error.where, error.message, error.hint, ERROR)]
    except DevrunError as error:
        return None, [Finding(error.where, error.message, error.hint)]


def _worktree(folder: str) -> Worktree | None:
    try:
        return locate(folder)
    except (DevrunError, OSError):
        return None
