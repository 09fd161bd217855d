"""What almost every verb starts from: the current folder, the project, and the worktree it is in."""

from __future__ import annotations

from msgspec import Struct

from devrun.config.load import load_project
from devrun.config.project import Project
from devrun.model import Worktree
from devrun.state.folder import current_folder
from devrun.worktrees.locate import locate


class Workspace(Struct, frozen=True):
    """A project and the worktree it lies in."""

    project: Project
    worktree: Worktree


def open_workspace(*, file: str | None = None) -> Workspace:
    """Read the configuration (`-f FILE`, or found upwards) and find the worktree that it lies in.

    The folder of the configuration says where services run, so it says which worktree is meant, and
    a sub-folder outside git is no worktree of its own.  Raises DevrunError when the current folder
    was deleted.
    """
    project = load_project(start=current_folder(), file=file)
    return Workspace(project=project, worktree=locate(project.root))
