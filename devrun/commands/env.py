"""`devrun env`: the ports of this worktree as variables, for `eval`, a .env file, or a program.

`DEVRUN_ENV` is among them: it says for which worktree they are, so that a devrun which inherits
them knows its own words again.  Never the stamp of a run, never what .env files hold.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping

from devrun.ports.names import printed_environment
from devrun.report.console import Output, encode_json
from devrun.workspace import claim_ports, open_workspace

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+,-]*\Z")


def run(output: Output, *, format: str, file: str | None) -> int:  # noqa: A002 - the flag's name
    """Print the variables in the format asked for."""
    workspace = open_workspace(file=file)
    ports = claim_ports(workspace, say=output.say)
    services, root = workspace.project.services, workspace.worktree.root
    variables = printed_environment(services, ports, root, inherited=os.environ)
    writers = {"shell": _shell, "dotenv": _dotenv, "json": _json}
    output.answer("env", variables, writers[format](variables), verbatim=True)
    return 0


def _shell(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if _SHELL_NAME.match(name):
            yield f"export {name}={shlex.quote(value)}"
        else:
            yield f"# {name} is no name that a shell can hold"


def _dotenv(variables: Mapping[str, str]) -> Iterator[str]:
    r"""Quote with ', in which only \\ and ' are special: every parser of .env files agrees on that."""
    for name, value in variables.items():
        if not _SHELL_NAME.match(name):
            yield f"# {name} is no name that a .env file can hold"
        elif _PLAIN_VALUE.match(value):
            yield f"{name}={value}"
        else:
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            yield f"{name}='{escaped}'"


def _json(variables: Mapping[str, str]) -> Iterator[str]:
    yield encode_json(dict(variables))
