"""`devrun init`: write a first services.yaml from what the folder says about itself."""

from __future__ import annotations

import os

from devrun.config.load import PROCFILE, YAML_NAMES, load_project
from devrun.config.propose import propose
from devrun.errors import UsageError, reason_of
from devrun.report.console import Output
from devrun.system.folders import current_folder

TARGET = YAML_NAMES[0]


def run(output: Output) -> int:
    """Write services.yaml here; refuse when there is one."""
    folder = current_folder()
    there = next((name for name in YAML_NAMES if os.path.lexists(os.path.join(folder, name))), None)
    if there is not None:
        raise UsageError(f"`{there}` exists, it is never overwritten", hint="`devrun check`")
    proposal = propose(folder, has_procfile=os.path.lexists(os.path.join(folder, PROCFILE)))
    path = os.path.join(folder, TARGET)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(proposal.text)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {reason_of(error)}") from error
    output.say(f"wrote {path}: {proposal.reason}")
    project = load_project(start=folder, file=TARGET)
    data = {"path": path, "services": list(project.services), "text": proposal.text}
    output.answer("init", data, proposal.text.split("\n")[:-1], verbatim=True)
    output.say("next: `devrun check`, then `devrun up`")
    return 0
