"""What almost every verb starts from: the current folder, the project, its worktree, and its ports."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from devrun.config.files import legible, shown
from devrun.config.load import find_config, load_project
from devrun.config.project import Project, SweepSettings
from devrun.config.select import find_service
from devrun.errors import ConfigError, DevrunError, UsageError
from devrun.model import PortSet, Worktree
from devrun.ports.ledger import claim
from devrun.state import open_state
from devrun.system.folders import current_folder
from devrun.worktrees.locate import locate

LONGEST_TIMEOUT = 86400.0
"""Seconds `--timeout` may say, as services.yaml may: a day is for ever, and no clock overflows at it."""


class Workspace(Struct, frozen=True):
    """A project and the worktree it lies in."""

    project: Project
    worktree: Worktree


class NamedPort(NamedTuple):
    """A port that was asked for by name; `name` is "" for the service's own."""

    service: str
    name: str
    port: int


def open_workspace(*, file: str | None = None, formation: str | None = None) -> Workspace:
    """Read the configuration (`-f FILE`, or found upwards) and find the worktree that it lies in.

    `formation` is `web=2,worker=1` of the command line: how many of each line of a Procfile.

    The folder of the configuration says where services run, so it says which worktree is meant, and
    a sub-folder outside git is no worktree of its own.  Raises DevrunError when the current folder
    was deleted.
    """
    project = load_project(start=current_folder(), file=file, formation=formation)
    return Workspace(project=project, worktree=_locate(project.root))


def find_worktree(file: str | None = None) -> Worktree:
    """Find the worktree that is meant without reading its configuration, which may be broken or gone.

    It is where `open_workspace` would find it: around `-f FILE`, around the current folder, or,
    outside git, the folder of the configuration above.
    """
    start = current_folder()
    if file is not None:
        path = os.path.normpath(os.path.join(start, os.path.expanduser(file)))
        if os.path.isdir(path):  # around `.` lies another worktree, whose run would be meant
            name = shown(path, start)
            raise ConfigError(f"`{name}` is a folder, not a file", where=name)
        return _locate(os.path.dirname(path))
    worktree = _locate(start)
    if worktree.repository is None:
        try:
            return _locate(os.path.dirname(find_config(start, None).path))
        except ConfigError:
            return worktree
    return worktree


def _locate(path: str) -> Worktree:
    """Find the worktree around `path`.  Raises UsageError where its name is no text: it could not be recorded."""
    worktree = locate(path)
    if legible(worktree.root + worktree.identity) != worktree.root + worktree.identity:
        raise UsageError(
            f"the path of the worktree, `{legible(worktree.root)}`, is not UTF-8", hint="give the folder another name"
        )
    return worktree


def check_timeout(seconds: float | None) -> None:
    """Raise UsageError for a `--timeout` that nobody can wait."""
    if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT:
        raise UsageError(
            f"`--timeout {seconds:g}` is no time to wait",
            hint="`--timeout 60`: seconds, up to a day" if seconds > 0 else "`--timeout 60`",
        )


def check_lines(count: int | None, *, hint: str) -> None:
    """Raise UsageError for a `-n` that is no number of lines."""
    if count is not None and count < 0:
        raise UsageError(f"`-n {count}` is no number of lines", hint=hint)


def claim_ports(workspace: Workspace, *, say: Callable[[str], None] | None = None) -> PortSet:
    """Return the ports of a workspace, claiming its lease; `say` hears why a lease moved."""
    with open_state() as state:
        return claim(state, workspace.worktree, workspace.project, say=say)


def find_port(word: str, *, file: str | None = None, say: Callable[[str], None] | None = None) -> NamedPort:
    """Return the port that `SERVICE` or `SERVICE:NAME` means; UsageError when there is none."""
    workspace = open_workspace(file=file)
    name, _, port_name = word.partition(":")
    service = find_service(name, workspace.project, say=say)
    name = service.name
    port = claim_ports(workspace, say=say).port(name, port_name)
    if port is None:
        named = ", ".join(f"`{name}:{each}`" for each in service.ports)
        what = f"port named `{port_name}`" if port_name else "port"
        key = f"`ports: {{{port_name}: …}}`" if port_name else "a `port:`"
        hint = f"it has {named}" if named else f"give `{name}` {key} in `{workspace.project.file}`"
        raise UsageError(f"`{name}` has no {what}", hint=hint)
    return NamedPort(name, port_name, port)


def sweep_settings(folder: str) -> SweepSettings | None:
    """Return what the configuration around a folder adds to clean-ups; None where there is none, or it is broken.

    A clean-up of a worktree works without: then the built-in list of runtimes holds alone.
    """
    try:
        return load_project(start=folder).sweep
    except DevrunError:
        return None
