"""Which worktree is this?  Answered from git's own files, without starting git.

A worktree is known by its git dir: that survives a branch switch, a detached head and
`git worktree move`.  Outside git the real path stands in.  The cases:

- `.git` is a folder: the main checkout; identity = that folder;
- `.git` is a file: a linked worktree (its git dir has a `commondir`), a checkout with a separate
  git dir, or a submodule, which belongs to the worktree of its superproject;
- a bare repository, or the folder that only holds one: outside git, its linked worktrees are not;
- the copy of a linked worktree (`cp -r`): git knows one of the two, the other goes by its path.

Only the identity is read here; which worktrees are alive is git's own answer (`listing`).
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from devrun.errors import UsageError
from devrun.model import FileId, Worktree
from devrun.worktrees.paths import upwards
from devrun.worktrees.slug import MAIN, make_slug

_LARGEST = 65536
"""Bytes read of `.git`, `HEAD` and `commondir`: each is one path or one name."""


class _GitDir(NamedTuple):
    path: str
    common: str
    is_linked: bool


def locate(path: str) -> Worktree:
    """Return the worktree that contains `path` (a folder or a file).

    Outside git it is `path` itself.  Raises UsageError when `path` does not exist.
    """
    start = os.path.realpath(path)
    if not os.path.isdir(start):
        if not os.path.exists(start):
            raise UsageError(f"`{path}` does not exist")
        start = os.path.dirname(start)
    found = _enclosing(start)
    if found is None:
        return Worktree(root=start, identity=start, repository=None, is_main=True, slug=MAIN, file_id=file_id(start))
    root, git_dir = found
    if git_dir.is_linked and _is_copy(root, git_dir.path):
        name = os.path.basename(root)
        return _worktree(root, git_dir, identity=root, slug=make_slug(name, reserved=True))
    return _worktree(root, git_dir, identity=git_dir.path, slug=_slug(git_dir))


def is_submodule(root: str) -> bool:
    """Whether the checkout whose top is `root` is a submodule: then it belongs to the worktree above it."""
    top = os.path.realpath(root)
    if _git_dir_at(top) is None:
        return False
    found = _enclosing(top)
    return found is not None and found[0] != top


def identity_of(root: str) -> str | None:
    """Return the identity of the worktree whose top is `root`; None when git knows no such top."""
    git_dir = _git_dir_at(os.path.realpath(root))
    if git_dir is None:
        return None
    return os.path.realpath(root) if git_dir.is_linked and _is_copy(root, git_dir.path) else git_dir.path


def repository_around(path: str) -> str | None:
    """Return the common git dir of the repository that a folder lies in, bare ones included: they have worktrees, too.

    Raises UsageError when `path` does not exist.
    """
    found = locate(path).repository
    return _bare_repository(os.path.realpath(path)) if found is None else found


def _bare_repository(path: str) -> str | None:
    """Return the bare repository around a folder: one it lies in, or one that a `.git` beside the worktrees names."""
    for folder in upwards(path):
        text = _read(os.path.join(folder, ".git")) or ""
        named = os.path.join(folder, text.removeprefix("gitdir: ") if text.startswith("gitdir: ") else ".git")
        for each in (folder, os.path.realpath(named)):
            if is_git_dir(each) and is_bare(each):
                return each
    return None


def root_of(identity: str) -> str | None:
    """Return the top of the worktree with this git dir as it stands now; None when that is not known.

    It follows `git worktree move`.  For an identity outside git it is the path itself.
    """
    back = _read(os.path.join(identity, "gitdir"))
    if back:
        return os.path.dirname(os.path.normpath(os.path.join(identity, back)))
    if os.path.basename(identity) == ".git":
        return os.path.dirname(identity)
    if os.path.isdir(identity) and not is_git_dir(identity):
        return identity
    return None


def root_now(identity: str, root: str) -> str:
    """Return where the worktree that was remembered at `root` stands now: another one may stand there since a move."""
    return root_of(identity) or root


def file_id(path: str) -> FileId | None:
    """Return device and inode of `path`, or None when it cannot be read."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def _worktree(root: str, git_dir: _GitDir, *, identity: str, slug: str) -> Worktree:
    return Worktree(
        root=root,
        identity=identity,
        repository=git_dir.common,
        is_main=not git_dir.is_linked,
        slug=slug,
        branch=_branch(git_dir.path),
        file_id=file_id(root),
    )


def _enclosing(start: str) -> tuple[str, _GitDir] | None:
    """Return top and git dir of the innermost worktree that is no submodule of a further one."""
    inner: tuple[str, _GitDir] | None = None
    for folder in upwards(start):
        git_dir = _git_dir_at(folder)
        if git_dir is None:
            continue
        if inner is None or _is_submodule(inner, folder, git_dir):
            inner = folder, git_dir
        if git_dir.is_linked:
            break  # a linked worktree is nobody's submodule
    return inner


def _git_dir_at(folder: str) -> _GitDir | None:
    """Return the git dir of a worktree whose top is `folder`, or None.

    A `.git` file that points to a folder which is gone still names the worktree.
    """
    entry = os.path.join(folder, ".git")
    try:
        mode = os.stat(entry).st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return _git_dir_of_file(folder, _read(entry) or "")
    if not stat.S_ISDIR(mode) or not is_git_dir(entry) or is_bare(entry):
        return None
    path = os.path.realpath(entry)
    return _GitDir(path, path, is_linked=False)


def _git_dir_of_file(folder: str, text: str) -> _GitDir | None:
    if not text.startswith("gitdir: "):
        return None
    path = os.path.realpath(os.path.join(folder, text.removeprefix("gitdir: ")))
    common = _read(os.path.join(path, "commondir"))
    if common:
        return _GitDir(path, os.path.realpath(os.path.join(path, common)), is_linked=True)
    parent = os.path.dirname(path)
    if not os.path.isdir(path) and os.path.basename(parent) == "worktrees":
        return _GitDir(path, os.path.dirname(parent), is_linked=True)
    return None if is_bare(path) else _GitDir(path, path, is_linked=False)


def is_git_dir(path: str) -> bool:
    """Whether `path` looks like a git dir, by two of the three things git itself asks for (setup.c)."""
    return os.path.lexists(os.path.join(path, "HEAD")) and os.path.isdir(os.path.join(path, "objects"))


def is_bare(git_dir: str) -> bool:
    """Whether the configuration of this git dir says `bare = true`."""
    # With `extensions.worktreeConfig` git moves the word to the second file (git-worktree(1)).
    texts = (_read(os.path.join(git_dir, name)) or "" for name in ("config", "config.worktree"))
    return any("".join(line.split()).lower() == "bare=true" for text in texts for line in text.splitlines())


def _is_submodule(inner: tuple[str, _GitDir], outer_root: str, outer: _GitDir) -> bool:
    root, git_dir = inner
    if any(git_dir.path.startswith(os.path.join(each, "modules") + os.sep) for each in (outer.path, outer.common)):
        return True
    # A submodule that kept its own `.git` folder is named in the superproject's .gitmodules.
    listed = _read(os.path.join(outer_root, ".gitmodules"))
    if not listed:
        return False
    relative = os.path.relpath(root, outer_root)
    paths = (line.partition("=") for line in listed.splitlines())
    return any(key.strip() == "path" and value.strip().strip('"') == relative for key, _, value in paths)


def _is_copy(root: str, git_dir: str) -> bool:
    """Whether another folder, which exists, is the one that git knows for this git dir."""
    back = _read(os.path.join(git_dir, "gitdir"))
    if not back:
        return False
    registered = os.path.dirname(os.path.join(git_dir, back))
    if file_id(registered) in {None, file_id(root)}:
        return False
    other = _git_dir_at(os.path.realpath(registered))
    return other is not None and other.path == git_dir


def _slug(git_dir: _GitDir) -> str:
    if not git_dir.is_linked:
        return MAIN
    name = os.path.basename(git_dir.path)
    return make_slug(name, reserved=name == MAIN and not is_bare(git_dir.common))


def _branch(git_dir: str) -> str | None:
    head = _read(os.path.join(git_dir, "HEAD")) or ""
    branch = head.removeprefix("ref: refs/heads/")
    return None if branch in {head, ".invalid"} else branch  # .invalid: a reftable repository


def _read(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(fd, _LARGEST).decode(errors="surrogateescape").strip("\r\n")
    except OSError:
        return None
    finally:
        os.close(fd)
