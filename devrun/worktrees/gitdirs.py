"""What became of the worktree with this git dir?  For what a process holds in there, such as a socket.

The same facts as for a folder somebody stands in (`places`), told from the other side: git lists a
worktree with this git dir and its checkout is there, or it is gone.  Only a git dir is judged whose
repository is there and answers; one that is gone as a whole counts by its lease, like any other.
"""

from __future__ import annotations

import os

from devrun.model import Folder, Surroundings
from devrun.worktrees.locate import root_of
from devrun.worktrees.paths import device_above, repository_of
from devrun.worktrees.places import KnownRoot, Places


def around_git_dir(places: Places, git_dir: str) -> Surroundings:
    """Return what is known of the worktree whose git dir this is."""
    git_dir = os.path.realpath(git_dir)  # links above one that may be gone
    repository = repository_of(git_dir) or git_dir
    known = places.known_as(git_dir)
    root = known.root if known is not None else root_of(git_dir)
    if not os.path.lexists(repository):
        gone = known is not None and known.repository_device == device_above(repository) is not None
        folder = Folder.DELETED if gone else None
        return Surroundings(
            git_dir, folder, root, git_dir, repository, known=known is not None, repository_gone=gone or None
        )
    view = places.view(repository)
    live = None
    if view.entries is not None:
        live = any(each.identity == git_dir and each.file_id is not None for each in view.entries)
    folder = _folder(git_dir, root, known)
    return Surroundings(
        path=git_dir,
        folder=folder,
        root=root or git_dir,
        identity=git_dir,
        repository=repository,
        live=live,
        known=True,
        has_checkout=None if folder is None else folder is Folder.PRESENT,
        leased=known is not None and known.leased,
        problem=None if view.problem is None else f"git: `{repository}`: {view.problem}",
    )


def _folder(git_dir: str, root: str | None, known: KnownRoot | None) -> Folder | None:
    """Say what became of it: git deletes the git dir with its worktree; a checkout alone may be unmounted."""
    try:
        os.stat(git_dir)
    except FileNotFoundError:
        return Folder.DELETED
    except OSError:
        return None
    if root is None:
        return None
    if os.path.lexists(os.path.join(root, ".git")):
        return Folder.PRESENT
    expected = None if known is None else known.parent_device
    return Folder.DELETED if expected is not None and device_above(root) == expected else None


def git_dir_of(repository: str, root: str) -> str | None:
    """Return the git dir of the linked worktree at `root`, which may be gone; None when git has none for it."""
    folder = os.path.join(repository, "worktrees")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    for name in names:
        git_dir = os.path.join(folder, name)
        registered = root_of(git_dir)
        if registered is not None and os.path.realpath(registered) == root:
            return os.path.realpath(git_dir)
    return None
