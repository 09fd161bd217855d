"""`devrun worktree add|remove|list`: git's worktrees, with their runs and ports."""

from __future__ import annotations

import os

from devrun.errors import ConfigError, DevrunError, NotARepositoryError, UsageError
from devrun.model import Worktree
from devrun.ports.ledger import in_use
from devrun.report.answers import WorktreeRow
from devrun.report.console import Output
from devrun.report.ports import PortsRow, ports_lines
from devrun.report.worktrees import worktree_lines, worktree_row
from devrun.run.footprint import Memory
from devrun.state import State, open_state
from devrun.state.leases import Lease
from devrun.system.folders import current_folder, last_folder
from devrun.worktrees.listing import WorktreeEntry, list_worktrees
from devrun.worktrees.locate import locate, repository_around, root_now
from devrun.worktrees.paths import is_deleted


def run(output: Output, *, action: str, path: str | None, commit: str | None, branch: str | None, force: bool) -> int:
    """Do what the first word says."""
    if action == "list":
        return _list(output)
    if not path:  # "" is a variable that was not set, never the current folder
        raise UsageError(f"`devrun worktree {action}` needs a PATH", hint=f"`devrun worktree {action} ../feature-x`")
    if action == "remove":
        return _remove(output, path, force=force)
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
    row = _lease(output, worktree, here)
    data = worktree_row(worktree.root, worktree.branch, None if row is None else row.ports)
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
        output.say(f"no ports yet: {error.lines[0]}")
        return None
    ports = claim_ports(Workspace(project=project, worktree=worktree), say=output.say)
    return PortsRow(worktree.root, ports, tuple(project.services))


def _remove(output: Output, word: str, *, force: bool) -> int:
    """End what runs in the worktree, let git remove it, give its ports back."""
    from devrun.cleanup.memory import removed_roots
    from devrun.report.cleaning import removal_data
    from devrun.run.removal import exit_code, remove_worktree
    from devrun.worktrees.removal import Remembered, find_target

    def repository_of(lease: Lease) -> str | None:
        """Return whom to ask about the worktree of a lease."""
        gone = lease.repository is not None and is_deleted(lease.repository, lease.repository_parent_device)
        return None if gone else lease.repository

    def say(line: str) -> None:
        """Show each act when it is done: a removal may take a while, or be refused by git half-way."""
        if not output.json:
            output.answer("worktree remove", None, [line])

    with open_state() as state:
        known = [
            Remembered(root_now(each.identity, each.root), each.identity, repository_of(each))
            for each in state.leases.all()
        ]
        known += [Remembered(root) for root in removed_roots(state)]
        target = find_target(word, last_folder(), known=known)
        removal = remove_worktree(state, target, force=force, say=say, complain=output.say)
    if output.json:
        output.answer("worktree remove", removal_data(removal))
    return exit_code(removal)


def _list(output: Output) -> int:
    """List what git lists, with slot, run, ports and memory of each."""
    view = list_worktrees(_repository(current_folder()))
    if view.entries is None:
        raise DevrunError(f"git does not say which worktrees there are: {view.problem}", hint="`git worktree list`")
    with open_state(create=False) as state:
        memory = Memory()
        entries = [_entry(state, each, memory) for each in view.entries if not each.bare]
    output.answer("worktree list", entries, worktree_lines(entries, output))
    return 0


def _entry(state: State, entry: WorktreeEntry, memory: Memory) -> WorktreeRow:
    if entry.identity is None:  # git still lists it, its folder is not there
        lease = next((each for each in state.leases.all() if each.root == entry.path), None)
    else:
        lease = state.leases.get(entry.identity)
    identity = entry.identity if lease is None else lease.identity
    live = None if identity is None else state.runs.live(identity)
    ports = None if lease is None else in_use(state, lease)
    run, rss = (None, None) if live is None else (live.id, memory.of(live))
    return worktree_row(entry.path, entry.branch, ports, run=run, rss=rss)


def _repository(here: str) -> str:
    repository = repository_around(here)
    if repository is None:
        raise NotARepositoryError(f"`{here}` is not in a git worktree", hint="`git init`")
    return repository
