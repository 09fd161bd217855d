"""`devrun completion SHELL`: a script that completes verbs, flags, files and the names of services.

Names of services are looked up while completing, by calling `devrun completion --services`, which
prints nothing where there is no configuration (a completion must never complain).
"""

from __future__ import annotations

import argparse

import shtab

from devrun.cli import build_parser
from devrun.errors import DevrunError, UsageError
from devrun.report.console import Output
from devrun.system.folders import current_folder
from devrun.verbs import VERBS

_LOOK_UP = "devrun completion --services 2>/dev/null"
_SERVICES = {
    "bash": "_devrun_compgen_services",
    "zsh": "_devrun_services",
    "fish": f"({_LOOK_UP})",
    "tcsh": f"`{_LOOK_UP}`",
}
_PREAMBLE = {
    "bash": f'_devrun_compgen_services() {{ compgen -W "$({_LOOK_UP})" -- "$1"; }}',
    "zsh": f'_devrun_services() {{ local -a names; names=(${{(f)"$({_LOOK_UP})"}}); compadd -a names; }}',
}
_BY_METAVAR = {"SERVICE": _SERVICES, "FILE": shtab.FILE, "PATH": shtab.DIRECTORY}


def run(output: Output, *, shell: str | None = None, services: bool = False) -> int:
    """Print the script of a shell, or the names of the services here."""
    if services:
        names = _service_names()
        output.answer("completion", {"services": names}, names)
        return 0
    if shell is None:
        raise UsageError("completion needs the name of a shell", hint="`devrun completion bash`")
    if shell not in shtab.SUPPORTED_SHELLS:
        raise UsageError(f"the installed shtab knows no {shell}", hint="`pip install --upgrade shtab`")
    script = shtab.complete(_parser(), shell, preamble=_PREAMBLE.get(shell, ""))
    output.answer("completion", {"shell": shell, "script": script}, [script], verbatim=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the parser with completions attached, by the metavar of each argument."""
    parser = build_parser()
    helps = {verb.name: verb.help for verb in VERBS}
    for verbs in parser._actions:  # noqa: SLF001 - argparse has no other way to its subparsers, shtab does the same
        if not isinstance(verbs, argparse._SubParsersAction):  # noqa: SLF001
            continue
        for name, child in verbs.choices.items():
            child.description = helps[name]  # shells show one line
            for action in child._actions:  # noqa: SLF001
                complete = _BY_METAVAR.get(str(action.metavar))
                if complete is not None:
                    setattr(action, "complete", complete)  # noqa: B010 - an attribute shtab looks for
    return parser


def _service_names() -> list[str]:
    from devrun.config.load import load_project

    try:
        return list(load_project(start=current_folder()).services)
    except (DevrunError, OSError):
        return []
