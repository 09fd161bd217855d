"""Where is that folder, and what became of the worktree around it?  Facts only; `decide.fate` judges.

The innermost worktree that contains a folder owns it.  Three kinds of knowledge say where one is or
was: `.git` entries that are there now, the roots devrun knows (leases, runs, the worktree asked
about), and patterns of paths (`.worktrees/*`, `.claude/worktrees/*`, `sweep.paths`).  The deepest
root wins, so a removed worktree inside the main checkout is not taken for the main checkout.

Git is asked only for the live set, once a repository, within what is left of the time budget, and
only when an answer matters.  What could not be found out is `None`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from devrun.errors import DevrunError
from devrun.model import Cwd, FileId, Folder, Surroundings, Worktree
from devrun.system.git import TIMEOUT
from devrun.worktrees.listing import RepositoryView, WorktreeEntry, list_worktrees
from devrun.worktrees.locate import file_id, is_bare, is_git_dir, locate
from devrun.worktrees.paths import device_above, is_deleted, is_there, upwards
from devrun.worktrees.patterns import Patterns

RECREATED_MARGIN = 1.0
"""Seconds by which a checkout must be younger than a process to be another one.  Smaller and the
rounding of start times makes a process older than its own worktree; larger misses quick re-creations,
which are then reported instead of stopped."""
MINIMUM_QUESTION = 0.2
"""Seconds git gets at least.  With less left of the budget only the first repository is asked: shorter and
nobody is ever found on a slow disk, longer and the budget is overdrawn by as much."""


class KnownRoot(NamedTuple):
    """A worktree that devrun has met: a lease or a run says so.  Devices are those recorded with the lease."""

    root: str
    identity: str | None = None
    repository: str | None = None
    leased: bool = False
    parent_device: int | None = None
    repository_device: int | None = None


class _Root(NamedTuple):
    """The innermost worktree around a folder, and how it is known."""

    path: str
    found: Worktree | None = None
    known: KnownRoot | None = None
    by_pattern: bool = False


class Places:
    """Answers for many folders; what was asked of the disk or of git is asked once."""

    def __init__(
        self,
        known: Iterable[KnownRoot],
        patterns: Patterns,
        *,
        deadline: float | None = None,
        ask_git: Callable[..., RepositoryView] = list_worktrees,
        repository: str | None = None,
    ) -> None:
        """`deadline` (monotonic) ends the budget for asking git.

        `repository` is whose patterns these are: asked about a missing root that only they name.
        """
        self._known = {each.root: each for each in known}
        self._patterns = patterns
        self._deadline = deadline
        self._ask_git = ask_git
        self._repository = repository
        self._views: dict[str, RepositoryView] = {}
        self._real_paths: dict[str, tuple[str, ...]] = {}
        self._located: dict[str, Worktree | None] = {}
        self._suspicious: dict[str, bool] = {}

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Repositories whose live set is unknown, with the reason."""
        return tuple((name, view.problem or "unknown") for name, view in self._views.items() if view.entries is None)

    def is_suspicious(self, cwd: Cwd, /) -> bool:
        """Say, without asking git, whether the worktree around a process's folder could be gone at all."""
        if cwd.deleted or ".git/" in cwd.path:
            return True
        if cwd.path not in self._suspicious:
            root = self._listed_root(cwd.path)
            is_bare = root is not None and not os.path.lexists(os.path.join(root.path, ".git"))
            self._suspicious[cwd.path] = is_bare
        return self._suspicious[cwd.path]

    def around(self, cwd: Cwd, /, *, started_at: float | None = None) -> Surroundings:
        """Return what is known of the folder a process stands in."""
        root = self._innermost(cwd.path)
        if root is None:
            return Surroundings(path=cwd.path, folder=self._folder(cwd, None))
        return self._describe(cwd.path, root, self._folder(cwd, root), cwd, started_at)

    def at(self, path: str, /) -> Surroundings:
        """Return what is known of a path that nobody stands in (a script, `PWD`)."""
        path = os.path.normpath(path)
        if not os.path.isabs(path):
            return Surroundings(path=path)
        exists = os.path.lexists(path)
        real = os.path.realpath(path)
        root = self._innermost(real)
        if root is None:
            return Surroundings(path=real)
        folder = Folder.PRESENT if exists else self._missing(real, root)
        return self._describe(real, root, folder, None, None)

    # Which root.

    def _innermost(self, path: str) -> _Root | None:
        found = self._locate(path)
        candidates = [] if found is None else [_Root(found.root, found=found)]
        listed = self._listed_root(path)
        if listed is not None:
            candidates.append(listed)
        trash = self._trash_root(path, besides=[each.path for each in candidates if each.found or each.known])
        if trash is not None:
            candidates.append(_Root(trash))
        if not candidates:
            return None
        deepest = max(candidates, key=lambda each: len(each.path))
        if found is not None and deepest.path == found.root:
            return _Root(found.root, found, self._known.get(found.root), self._patterns.root_of(path) == found.root)
        return deepest

    def _listed_root(self, path: str) -> _Root | None:
        """Return the deepest known or pattern root at or above `path`."""
        pattern = self._patterns.root_of(path)
        known = next((self._known[folder] for folder in upwards(path) if folder in self._known), None)
        if known is not None and (pattern is None or len(known.root) >= len(pattern)):
            return _Root(known.root, known=known, by_pattern=pattern == known.root)
        return None if pattern is None else _Root(pattern, by_pattern=True)

    def _locate(self, path: str) -> Worktree | None:
        """Return the worktree whose `.git` is there now, at or above `path`; a submodule is its superproject's."""
        folder = next((each for each in upwards(path) if os.path.isdir(each)), None)
        if folder is None:
            return None
        if folder not in self._located:
            try:
                found = locate(folder)
            except (DevrunError, OSError):
                found = None
            self._located[folder] = None if found is None or found.repository is None else found
        return self._located[folder]

    def _trash_root(self, path: str, *, besides: Iterable[str] = ()) -> str | None:
        """Return the folder below a trash folder inside a git dir, by the path alone: its `.git` may be gone."""
        parts = path.split("/")
        for index, part in enumerate(parts[:-1]):
            inside = "/".join(parts[: index + 1]) + "/"  # of a bare one a worktree may be called `fix-trash`
            if not part.endswith(".git") or any(each.startswith(inside) for each in besides):
                continue
            for offset, inner in enumerate(parts[index + 1 : -1], start=index + 1):
                if "trash" in inner.lower() and is_git_dir(inside):
                    return "/".join(parts[: offset + 2])
        return None

    # What became of it.

    def _describe(
        self, path: str, root: _Root, folder: Folder | None, cwd: Cwd | None, started_at: float | None
    ) -> Surroundings:
        repository = self._repository_of(root)
        is_gone = self._is_repository_gone(root, repository)
        live, problem = (None, f"`{repository}` is gone") if is_gone else self._is_live(root, repository)
        identity = root.found.identity if root.found is not None else None
        if identity is None and root.known is not None:
            identity = root.known.identity
        return Surroundings(
            path=path,
            folder=folder,
            root=root.path,
            identity=identity,
            repository=repository,
            root_id=file_id(root.path),
            live=live,
            predecessor=self._is_predecessor(root, identity, cwd, started_at) if live else None,
            known=root.known is not None or root.by_pattern,
            leased=root.known is not None and root.known.leased,
            in_trash=None if live or repository is None else self._is_in_trash(root, repository),
            has_checkout=is_there(os.path.join(root.path, ".git")),
            repository_gone=is_gone,
            problem=problem,
        )

    def _repository_of(self, root: _Root) -> str | None:
        if root.found is not None:
            return root.found.repository
        if root.known is not None and root.known.repository is not None:
            return root.known.repository
        around = self._locate(os.path.dirname(root.path))
        if around is not None:
            return around.repository
        parts = root.path.split("/")
        for index, part in enumerate(parts):
            if part.endswith(".git") and is_git_dir("/".join(parts[: index + 1])):
                return "/".join(parts[: index + 1])
        return self._repository if root.by_pattern and is_there(root.path) is False else None

    def _is_live(self, root: _Root, repository: str | None) -> tuple[bool | None, str | None]:
        if repository is None:
            if root.known is not None and root.known.identity == root.path:
                is_missing = self._missing(root.path, root) is Folder.DELETED  # outside git: alive while it is there
                return True if os.path.isdir(root.path) else False if is_missing else None, None
            return None, f"the repository of `{root.path}` is not known"
        view = self.view(repository)
        if view.entries is None:
            return None, f"git: `{repository}`: {view.problem}"
        here = file_id(root.path)
        if repository not in self._real_paths:  # asked for each of thousands of processes else
            self._real_paths[repository] = tuple(os.path.realpath(entry.path) for entry in view.entries)
        for entry, real in zip(view.entries, self._real_paths[repository], strict=True):
            same = real == root.path or (here is not None and entry.file_id == here)
            if same and (_has_checkout(entry) or (entry.bare and here is not None)):
                return True, None
        return False, None

    def view(self, repository: str) -> RepositoryView:
        """Return what git says of a repository, asked once; unknown when no time was left for the question."""
        if repository not in self._views:
            left = TIMEOUT
            if self._deadline is not None:
                left = min(left, self._deadline - time.monotonic())
            if left < MINIMUM_QUESTION and self._views:  # the first one is asked whatever the clock says
                self._views[repository] = RepositoryView(repository, None, None, "not asked: no time was left")
            else:
                self._views[repository] = self._ask_git(repository, timeout=max(left, MINIMUM_QUESTION))
        return self._views[repository]

    def known_as(self, identity: str) -> KnownRoot | None:
        """Return the root of the worktree with this git dir, when a lease or a run knows it."""
        return next((each for each in self._known.values() if each.identity == identity), None)

    def _folder(self, cwd: Cwd, root: _Root | None) -> Folder | None:
        """Say what became of the very folder: the kernel's word first, then device and inode."""
        if cwd.deleted:
            return Folder.DELETED
        try:
            found = os.stat(cwd.path)
        except FileNotFoundError:
            # With the kernel's own id at hand, a missing path that is not deleted is in another mount namespace.
            return None if root is None or cwd.file_id is not None else self._missing(cwd.path, root)
        except OSError:
            return None
        if cwd.file_id is not None and cwd.file_id != FileId(found.st_dev, found.st_ino):
            return None
        return Folder.PRESENT

    def _missing(self, path: str, root: _Root) -> Folder | None:
        """Say whether a missing path was deleted: what is left above it lies on the device where the root was."""
        expected = root.known.parent_device if root.known is not None else None
        if expected is None:
            around = self._locate(os.path.dirname(root.path))
            expected = None if around is None or around.file_id is None else around.file_id.device
        return Folder.DELETED if expected is not None and device_above(path) == expected else None

    @staticmethod
    def _is_predecessor(root: _Root, identity: str | None, cwd: Cwd | None, started_at: float | None) -> bool | None:
        """Say whether the checkout that is there now was made after the process started.

        Git writes `commondir` once, when it makes a linked worktree (`worktree move` leaves it alone).
        """
        if cwd is None or not cwd.deleted:
            return None
        if cwd.path == root.path:
            return True
        try:
            made_at = os.stat(os.path.join(identity or "", "commondir")).st_mtime
        except OSError:
            return None
        return None if started_at is None else made_at > started_at + RECREATED_MARGIN

    def _is_in_trash(self, root: _Root, repository: str) -> bool:
        if not root.path.startswith(repository + "/") or root.path.startswith(repository + "/modules/"):
            return False
        if root.found is None or root.found.is_main:
            return self._trash_root(root.path + "/x") == root.path
        # Worktrees live inside a bare repository: one that was moved there by hand only lacks a `git worktree repair`.
        return "trash" in os.path.dirname(root.path)[len(repository) :].lower() or not is_bare(repository)

    @staticmethod
    def _is_repository_gone(root: _Root, repository: str | None) -> bool | None:
        known = root.known
        if repository is None or known is None or known.repository_device is None:
            return None
        return is_deleted(repository, known.repository_device)


def _has_checkout(entry: WorktreeEntry) -> bool:
    return entry.file_id is not None and entry.identity is not None
