"""`devrun check`: whether the configuration is right, and what was probably not meant."""

from __future__ import annotations

import os
from typing import Any

from devrun.config.advice import Advice, advise, wrong_expressions
from devrun.config.load import load_project
from devrun.config.problems import InvalidConfigError
from devrun.config.project import Project
from devrun.errors import ConfigError
from devrun.report.console import Output
from devrun.system.folders import current_folder

CONFIGURATION_CODE = ConfigError.exit_code


def run(output: Output, *, file: str | None = None) -> int:
    """Print every problem; 2 when the configuration cannot be used, 0 with warnings only."""
    start = current_folder()
    try:
        project = load_project(start=start, file=file)
    except InvalidConfigError as error:
        problems = [_row(str(each.place), each.message, each.hint, "error") for each in error.problems]
    except ConfigError as error:
        problems = [_row(error.where, error.message, error.hint, "error")]
    else:
        problems = [_advised(each, project, "error") for each in wrong_expressions(project)]
        if not problems:
            problems = [_advised(each, project, "warning") for each in advise(project)]
            count = f"{len(project.services)} service{'s' if len(project.services) != 1 else ''}"
            output.say(f"{os.path.basename(project.file)}: {count}, {_tally(problems)}")
    output.answer("check", {"problems": problems}, [line for each in problems for line in _lines(output, each)])
    return CONFIGURATION_CODE if any(each["severity"] == "error" for each in problems) else 0


def _advised(each: Advice, project: Project, severity: str) -> dict[str, Any]:
    return _row(str(each.place or project.file), each.message, each.hint, severity)


def _row(where: str | None, message: str, hint: str | None, severity: str) -> dict[str, Any]:
    return {"where": where, "message": message, "hint": hint, "severity": severity}


def _tally(problems: list[dict[str, Any]]) -> str:
    if not problems:
        return "nothing to say"
    return f"{len(problems)} warning{'s' if len(problems) != 1 else ''}"


def _lines(output: Output, problem: dict[str, Any]) -> list[str]:
    severity = problem["severity"]
    label = output.style(f"{severity}:", "red" if severity == "error" else "yellow", "bold")
    where = f"{problem['where']}: " if problem["where"] else ""
    lines = [f"{label} {where}{problem['message']}"]
    return [*lines, f"hint: {problem['hint']}"] if problem["hint"] else lines
