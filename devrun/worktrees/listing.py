"""What git says about the worktrees of a repository: the live set.

The set comes from `git worktree list --porcelain -z`, never from reading git's files.  `entries` is
None when git gave no answer (missing, timed out, refused, empty output with exit 0): unknown, which
is not "none".  What an entry says beyond git's words (identity, file id) is read from the folder.
"""

from __future__ import annotations

import os

from msgspec import Struct

from devrun.model import FileId
from devrun.system.git import TIMEOUT, has_git, run_git
from devrun.worktrees.locate import file_id, identity_of, is_bare
from devrun.worktrees.paths import folder_of

_UNKNOWN_OPTION = 129
"""git's exit code for a usage error: before 2.36 `worktree list` has no `-z`."""


class WorktreeEntry(Struct, frozen=True):
    """One worktree as git lists it.

    `locked` and `prunable` are git's reasons (perhaps empty), None when it is neither.  `identity`
    and `file_id` are None when the folder is not there.
    """

    path: str
    head: str | None = None
    branch: str | None = None
    detached: bool = False
    bare: bool = False
    locked: str | None = None
    prunable: str | None = None
    identity: str | None = None
    file_id: FileId | None = None


class RepositoryView(Struct, frozen=True):
    """The worktrees of one repository, and why they are unknown when `entries` is None.

    `repository` is the common git dir; `main_path` its main checkout, None for a bare repository.
    """

    repository: str
    main_path: str | None
    entries: tuple[WorktreeEntry, ...] | None
    problem: str | None = None


def list_worktrees(repository: str, *, timeout: float = TIMEOUT) -> RepositoryView:
    """Ask git for the worktrees of the repository with this common git dir."""
    if not os.path.isdir(repository):
        return RepositoryView(repository, None, None, f"`{repository}` is not there")
    # Found by git itself from a folder: with --git-dir it would skip its test of who owns the repository.
    folder = folder_of(repository)
    # Never from a folder further up: an emptied `.git` must not be answered by the repository around it.
    only_here = {"GIT_CEILING_DIRECTORIES": os.path.dirname(folder)}
    words = ["worktree", "list", "--porcelain"]
    separator = b"\0"
    answer = run_git([*words, "-z"], cwd=folder, timeout=timeout, variables=only_here)
    if answer is not None and answer.code == _UNKNOWN_OPTION:
        separator = b"\n"
        answer = run_git(words, cwd=folder, timeout=timeout, variables=only_here)
    if answer is None:
        why = f"git gave no answer within {timeout:.1f} s" if has_git() else "there is no `git` in PATH"
        return RepositoryView(repository, None, None, why)
    if answer.code != 0:
        return RepositoryView(repository, None, None, answer.problem)
    entries = _parse(answer.stdout, separator)
    if not entries:
        return RepositoryView(repository, None, None, "git listed no worktree at all")
    # git lists the main checkout first, and the bare repository in its place.
    main = None if entries[0].bare or is_bare(repository) else entries[0].path
    return RepositoryView(repository, main, tuple(_complete(entry) for entry in entries))


def _parse(output: bytes, separator: bytes) -> list[WorktreeEntry]:
    """Read git's records: lines of `key value`, a record ends with an empty line."""
    entries: list[WorktreeEntry] = []
    record: dict[str, str] = {}
    for raw in output.split(separator):
        key, _, value = os.fsdecode(raw).partition(" ")
        if key:
            record[key] = value
        elif record:
            entries.append(_entry(record))
            record = {}
    return entries


def _entry(record: dict[str, str]) -> WorktreeEntry:
    branch = record.get("branch")
    return WorktreeEntry(
        path=record.get("worktree", ""),
        head=record.get("HEAD"),
        branch=None if branch is None else branch.removeprefix("refs/heads/"),
        detached="detached" in record,
        bare="bare" in record,
        locked=record.get("locked"),
        prunable=record.get("prunable"),
    )


def _complete(entry: WorktreeEntry) -> WorktreeEntry:
    identity = None if entry.bare else identity_of(entry.path)
    return WorktreeEntry(
        path=entry.path,
        head=entry.head,
        branch=entry.branch,
        detached=entry.detached,
        bare=entry.bare,
        locked=entry.locked,
        prunable=entry.prunable,
        identity=identity,
        file_id=file_id(entry.path),
    )
