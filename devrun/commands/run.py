"""`devrun run [SERVICE] -- CMD`: become a command that has this worktree's ports, or a service's whole environment."""

from __future__ import annotations

import os

from devrun.config.select import find_service
from devrun.errors import UsageError
from devrun.report.console import Output
from devrun.run.environment import common_environment, prepare_services
from devrun.run.foreground import become
from devrun.workspace import claim_ports, open_workspace

_HINT = "`devrun run -- CMD` or `devrun run SERVICE -- CMD`"


def run(output: Output, *, file: str | None, words: list[str]) -> int:
    """Replace this process by the command."""
    service, argv = _split(words)
    workspace = open_workspace(file=file)
    chosen = None
    if service is not None:
        chosen = find_service(service, workspace.project, say=output.say)
    ports = claim_ports(workspace, say=output.say)
    environment = common_environment(os.environ, workspace.project, ports)
    if chosen is None:
        become(argv, environment)
    else:
        (ready,), environments = prepare_services((chosen,), environment, workspace.worktree, ports)
        become(argv, environments[ready.name], cwd=ready.working_dir)
    return 0


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the service, if one stands before `--`, and the command."""
    if "--" not in words:
        service, argv = None, words
    else:
        cut = words.index("--")
        before, argv = words[:cut], words[cut + 1 :]
        if len(before) > 1:  # the `--` is the command's own: `devrun run npm test -- --watch`
            return None, words
        service = before[0] if before else None
    if not argv:
        raise UsageError("`devrun run` needs a command", hint=_HINT)
    return service, argv
