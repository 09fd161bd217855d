"""Say who is in the way of a service, in a sentence, and what helps next, in a command."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from devrun.decide.context import KnownRun, Target
from devrun.errors import DevrunError
from devrun.model import Classified, Listener, Worktree
from devrun.worktrees.locate import locate


class Obstacle(NamedTuple):
    """What a guard found in the way of one service."""

    target: Target
    blockers: tuple[Classified, ...]
    hidden: tuple[int, ...]
    live_run: KnownRun | None
    listeners: tuple[Listener, ...]


def explain(obstacle: Obstacle, worktree: Worktree, runs: Mapping[str, KnownRun]) -> tuple[str | None, str | None]:
    """Return message and hint, both None when the way is clear."""
    name = obstacle.target.service
    if obstacle.live_run is not None:
        return _already_running(name, obstacle.live_run)
    if obstacle.blockers:
        return _held(obstacle, obstacle.blockers[0], worktree, runs)
    if obstacle.hidden:
        port = obstacle.hidden[0]
        return (
            f"port {port} (`{name}`) is held by a process that is not visible: another user's, a container's, or the system's",
            f"`docker ps` or `sudo lsof -i :{port}` may name it",
        )
    return None, None


def _already_running(name: str, known: KnownRun) -> tuple[str, str]:
    keeper = known.record.keeper
    pid = f", pid {keeper.pid}" if keeper is not None else ""
    return (
        f"`{name}` is already running in this worktree (run {known.record.id}{pid})",
        "`devrun logs -f` follows it, `devrun up --replace` replaces it, `devrun down` ends it",
    )


def _held(obstacle: Obstacle, holder: Classified, worktree: Worktree, runs: Mapping[str, KnownRun]) -> tuple[str, str]:
    name, record = obstacle.target.service, holder.record
    stamp = record.stamp
    known = None if stamp is None else runs.get(stamp.run)
    if holder.reason == "live-run" and known is not None and known.record.worktree_identity == worktree.identity:
        return _already_running(name, known)
    ports = sorted({each.port for each in obstacle.listeners if each.pid == record.pid} & obstacle.target.ports)
    who = f"pid {record.pid} `{record.title}`"
    what = f"port {ports[0]} (`{name}`) is held by {who}" if ports else f"{who} is in the way of `{name}`"
    message = f"{what}{_age(holder)}{_whose(holder)}: {holder.detail}"
    return message, _hint(holder, name, worktree)


def _age(holder: Classified) -> str:
    if holder.record.started_at is None:
        return ""
    seconds = max(0.0, time.time() - holder.record.started_at)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f", since {seconds // length:.0f} {unit}"
    return f", since {seconds:.0f} s"


def _whose(holder: Classified) -> str:
    stamp = holder.record.stamp
    if stamp is not None:
        return f", `{stamp.service}` of `{stamp.worktree}`{_branch(stamp.worktree)}"
    return f" in `{holder.worktree}`{_branch(holder.worktree)}" if holder.worktree else ""


def _branch(root: str | None) -> str:
    if root is None or not os.path.isdir(root):
        return ""
    try:
        branch = locate(root).branch
    except (DevrunError, OSError):
        return ""
    return f" (branch {branch})" if branch else ""


def _hint(holder: Classified, name: str, worktree: Worktree) -> str:
    """Return the command that helps against this holder."""
    reason, stamp = holder.reason, holder.record.stamp
    if reason in ("live-run", "live-worktree"):
        root = stamp.worktree if stamp is not None else holder.worktree
        where = f"cd {root} && " if root and root != worktree.root else ""
        return f"`{where}devrun down` ends it, `devrun ports --all` shows who has which ports"
    if reason in ("stranger", "no-runtime", "terminal"):
        return f"`devrun guard {name} --force` stops it; or give `{name}` another `port` in services.yaml"
    if reason == "container":
        return "`docker ps` names the container, `docker stop` ends it"
    return f"end it yourself, or give `{name}` another `port` in services.yaml"
