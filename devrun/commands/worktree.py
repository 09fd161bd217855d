"""`devrun worktree add|list`: git's worktrees, with their ports."""

from __future__ import annotations

import os
from typing import Any

from devrun.errors import ConfigError, DevrunError, NotARepositoryError, UsageError
from devrun.model import Worktree
from devrun.report.console import Output
from devrun.report.ports import PortsRow, ports_lines, worktree_lines
from devrun.state import State, open_state
from devrun.system.folders import current_folder
from devrun.worktrees.locate import locate


def run(output: Output, *, action: str, path: str | None, commit: str | None, branch: str | None) -> int:
    """Do what the first word says."""
    if action == "list":
        return _list(output)
    if path is None:
        raise UsageError(f"`devrun worktree {action}` needs a PATH", hint=f"`devrun worktree {action} ../feature-x`")
    return _add(output, path, commit=commit, branch=branch)


def _add(output: Output, path: str, *, commit: str | None, branch: str | None) -> int:
    """Let git add the worktree, then lease its ports."""
    from devrun.system.git import show_git

    here = current_folder()
    _repository(here)
    words = ["worktree", "add", *(["-b", branch] if branch else []), "--", path, *([commit] if commit else [])]
    code = show_git(words, cwd=here)
    if code is None:
        raise DevrunError("git could not be started", hint="`git --version`")
    if code != 0:
        raise DevrunError(f"git did not add the worktree `{path}` (exit code {code})", hint="`devrun worktree list`")
    worktree = locate(os.path.join(here, path))
    data: dict[str, Any] = {
        "path": worktree.root,
        "branch": worktree.branch,
        "slot": None,
        "run": None,
        "ports": {},
        "rss": None,
    }
    row = _lease(output, worktree, here)
    if row is not None:
        data |= {"slot": row.ports.slot, "ports": _flat(row)}
    output.answer("worktree add", data, [worktree.root] if row is None else ports_lines(row, output))
    return 0


def _lease(output: Output, worktree: Worktree, here: str) -> PortsRow | None:
    """Claim the ports of a new worktree; None when its branch has no configuration."""
    from devrun.config.load import load_project
    from devrun.workspace import Workspace, claim_ports

    inside = os.path.join(worktree.root, os.path.relpath(here, locate(here).root))
    try:
        project = load_project(start=inside if os.path.isdir(inside) else worktree.root)
    except ConfigError as error:
        output.say(f"no ports yet: {error.message}")
        return None
    ports = claim_ports(Workspace(project=project, worktree=worktree), say=output.say)
    return PortsRow(worktree.root, ports, tuple(project.services))


def _list(output: Output) -> int:
    """List what git lists, with slot, run, ports and memory of each."""
    from devrun.worktrees.listing import list_worktrees

    view = list_worktrees(_repository(current_folder()))
    if view.entries is None:
        raise DevrunError(f"git does not say which worktrees there are: {view.problem}", hint="`git worktree list`")
    with open_state(create=False) as state:
        entries = [_entry(state, each.path, each.branch, each.identity) for each in view.entries if not each.bare]
    output.answer("worktree list", entries, worktree_lines(entries, output))
    return 0


def _entry(state: State, path: str, branch: str | None, identity: str | None) -> dict[str, Any]:
    if identity is None:  # git still lists it, its folder is not there
        lease = next((each for each in state.leases.all() if each.root == path), None)
    else:
        lease = state.leases.get(identity)
    live = None if lease is None else state.runs.live(lease.identity)
    row = None if lease is None else PortsRow(path, lease.ports, tuple(lease.ports.ports))
    return {
        "path": path,
        "branch": branch,
        "slot": None if row is None else row.ports.slot,
        "run": None if live is None else live.id,
        "ports": {} if row is None else _flat(row),
        "rss": None if live is None else _memory([each.pid for each in live.groups.values()]),
    }


def _flat(row: PortsRow) -> dict[str, int]:
    return {
        f"{service}:{name}" if name else service: port
        for service, named in row.ports.ports.items()
        for name, port in named.items()
    }


def _memory(leaders: list[int]) -> int:
    """Return the resident bytes of the sessions with these leaders."""
    from devrun.system.processes import read_snapshot

    snapshot = read_snapshot()
    return sum(record.rss or 0 for leader in leaders for record in snapshot.session(leader))


def _repository(here: str) -> str:
    repository = locate(here).repository
    if repository is None:
        raise NotARepositoryError(f"`{here}` is not in a git worktree", hint="`git init`")
    return repository
