"""Removing a worktree, git's part: which one is meant, would git refuse, and let git do it.

Nothing here prunes, unlocks or deletes: git removes the checkout and its own record of it, or says why not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from shlex import quote
from typing import NamedTuple

from msgspec import Struct

from devrun.errors import DevrunError, UsageError
from devrun.system.git import GitAnswer, run_git
from devrun.worktrees.gitdirs import git_dir_of
from devrun.worktrees.listing import RepositoryView, WorktreeEntry, list_worktrees
from devrun.worktrees.locate import locate, repository_around
from devrun.worktrees.paths import folder_of

_PATIENCE = 60.0
"""Seconds git may take to look through a checkout.  Shorter refuses large ones on a cold disk; longer
leaves a person alone with a git that hangs."""
_QUIET = ("-c", "core.fsmonitor=false")  # a wedged fsmonitor daemon hangs whoever asks it
_SHOWN = 3


class Remembered(NamedTuple):
    """A worktree that devrun remembers, by its lease or by the journal; git may have forgotten it.

    `repository` is None, too, where it is proved gone: nobody can be asked.
    """

    root: str
    identity: str | None = None
    repository: str | None = None


class Target(Struct, frozen=True):
    """The worktree that is meant.  `entry` is None when git does not list it, `identity` when nobody knows it.

    `by_path`: it was named by a path that has more than one part, which is not mistyped as easily as a name.
    """

    root: str
    identity: str | None = None
    repository: str | None = None
    entry: WorktreeEntry | None = None
    is_main: bool = False
    by_path: bool = False

    @property
    def exists(self) -> bool:
        """Whether something is at its path."""
        return os.path.lexists(self.root)


class Refusal(Struct, frozen=True):
    """Why a worktree is not removed."""

    reason: str
    message: str
    hint: str | None = None


def find_target(word: str, here: str, *, known: Iterable[Remembered] = ()) -> Target:
    """Return the worktree that `word` means: a path, or the name of its folder or branch in this repository.

    `known` helps where git has forgotten it.  Raises UsageError when a name means several.
    """
    path = os.path.realpath(os.path.join(here, word))
    found = _at_path(path)
    if found is not None and found.identity is not None:
        return found
    remembered = list(known)
    around = _repository_around(here) or _repository_around(path)
    repositories = {each.repository for each in remembered if each.root == path} | {around}
    views = [list_worktrees(each) for each in sorted(each for each in repositories if each is not None)]
    for view in sorted(views, key=lambda each: each.entries is None):  # who is silent counts when nobody knows it
        by_name = _listed(view, path, word)
        if by_name is not None:
            return by_name
    if found is not None:
        return found
    for each in remembered:
        is_named = os.sep not in word and os.path.basename(each.root) == word and each.repository in (around, None)
        if each.root == path or (is_named and not os.path.lexists(each.root)):
            return Target(each.root, each.identity, each.repository)
    return Target(path, repository=around, by_path=os.sep in word)


def refusal(target: Target, *, force: bool) -> Refusal | None:
    """Return why git would not remove the worktree, None when it would (or has nothing left to remove)."""
    name = target.root
    if target.is_main or (target.entry is not None and target.entry.bare):
        return Refusal("main", f"`{name}` is the main checkout", "a linked worktree: `devrun worktree list`")
    if target.entry is None:
        if not target.exists:
            return None
        return Refusal("not-a-worktree", f"`{name}` is not a git worktree", "`devrun worktree list`")
    if target.entry.locked is not None:
        why = f": {target.entry.locked}" if target.entry.locked else ""
        return Refusal("locked", f"`{name}` is locked{why}", f"`git worktree unlock {quote(name)}`, then again")
    return _untidy(target, force=force) if target.exists else None


def let_git_remove(target: Target, *, force: bool) -> GitAnswer | None:
    """Let git remove the worktree, for as long as it takes; None when git cannot be started."""
    words = [*_QUIET, "worktree", "remove", *(["--force"] if force else []), "--", target.root]
    return run_git(words, cwd=folder_of(target.repository or target.root), timeout=None)


def is_listed(target: Target) -> bool:
    """Whether git still lists the worktree, or would not say."""
    if target.repository is None:
        return False
    entries = list_worktrees(target.repository).entries
    return entries is None or any(os.path.realpath(each.path) == target.root for each in entries)


def _at_path(path: str) -> Target | None:
    """Return what is at `path`: a worktree's top with its entry, or something that is none; None for nothing."""
    if not os.path.lexists(path):
        return None
    try:
        worktree = locate(path)
    except (DevrunError, OSError):
        return Target(path)
    if worktree.repository is None or worktree.root != path:
        return Target(path, repository=worktree.repository)
    view = list_worktrees(worktree.repository)
    _must_answer(view)
    entry = next((each for each in view.entries or () if os.path.realpath(each.path) == path), None)
    if entry is None and not worktree.is_main:
        return Target(path, repository=worktree.repository)
    return Target(path, worktree.identity, worktree.repository, entry, worktree.is_main)


def _listed(view: RepositoryView, path: str, word: str) -> Target | None:
    """Return the worktree that git lists at `path`, or by that name."""
    _must_answer(view)
    entries = view.entries or ()
    found = [each for each in entries if os.path.realpath(each.path) == path]
    if not found and os.sep not in word:
        found = [each for each in entries if os.path.basename(each.path) == word]
    if not found:
        found = [each for each in entries if each.branch == word]
    if len(found) > 1:
        paths = ", ".join(f"`{each.path}`" for each in found)
        raise UsageError(f"`{word}` may be {paths}", hint="name it by its path")
    if not found:
        return None
    entry, root = found[0], os.path.realpath(found[0].path)
    identity = entry.identity or git_dir_of(view.repository, root)
    return Target(root, identity, view.repository, entry, is_main=entry.path == view.main_path)


def _must_answer(view: RepositoryView) -> None:
    if view.entries is None:
        raise DevrunError(f"git does not say which worktrees there are: {view.problem}", hint="`git worktree list`")


def _untidy(target: Target, *, force: bool) -> Refusal | None:
    """Look at the checkout: whether it is one, and may go."""
    root = target.root
    if not os.path.lexists(os.path.join(root, ".git")):
        hint = f"`git -C {quote(root)} worktree repair`, or move the folder away"
        return Refusal("not-a-worktree", f"`{root}` is listed by git, but has no `.git`", hint)
    return None if force else _changes(root) or _submodules(target)


def _changes(name: str) -> Refusal | None:
    """Ask as git itself would before it removes without --force (git-worktree(1)); nothing is written."""
    force = f"`devrun worktree remove --force {quote(name)}` loses them"
    words = [*_QUIET, "status", "--porcelain", "-z", "--ignore-submodules=none"]
    answer = run_git(words, cwd=name, timeout=_PATIENCE)
    if answer is None:
        return Refusal("unknown", f"git did not say within {_PATIENCE:.0f} s whether `{name}` has changes", force)
    if answer.code != 0:
        return Refusal("unknown", f"git does not say whether `{name}` has changes: {answer.problem}", force)
    changes = [each for each in os.fsdecode(answer.stdout).split("\0") if each[2:3] == " "]
    if changes:
        untracked = all(each.startswith("??") for each in changes)
        files = ", ".join(f"`{each[3:]}`" for each in changes[:_SHOWN]) + (", …" if len(changes) > _SHOWN else "")
        what = "untracked files" if untracked else "changes that are not committed"
        return Refusal("untracked" if untracked else "dirty", f"`{name}` has {what}: {files}", force)
    return None


def _submodules(target: Target) -> Refusal | None:
    root, name = target.root, target.root
    modules = os.path.join(target.identity or root, "modules")
    listed = run_git(["ls-files", "--stage", "-z"], cwd=root, timeout=_PATIENCE)
    has_links = listed is not None and any(each.startswith(b"160000 ") for each in listed.stdout.split(b"\0"))
    if has_links or (os.path.isdir(modules) and os.listdir(modules)):
        return Refusal("submodules", f"`{name}` has submodules", f"`devrun worktree remove --force {quote(name)}`")
    return None


def _repository_around(path: str) -> str | None:
    """Return the repository around a path, of which the last folders may be gone."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    try:
        return repository_around(path)
    except (DevrunError, OSError):
        return None
