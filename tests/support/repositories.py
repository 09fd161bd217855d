"""Real git repositories and worktrees under a temporary folder, blind to the user's configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}


def git(*words: str, cwd: str | os.PathLike[str]) -> str:
    """Run git; return what it printed; an error is the test's error, with git's own words."""
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


class Repository:
    """A repository with one commit; `path` is its main checkout."""

    def __init__(self, path: str | os.PathLike[str], files: Mapping[str, str] | None = None) -> None:
        self.path = os.path.realpath(path)
        os.makedirs(self.path, exist_ok=True)
        git("init", "-q", "-b", "main", cwd=self.path)
        self.commit(files or {"README.md": "a repository\n"})

    def write(self, files: Mapping[str, str], at: str | None = None) -> None:
        """Write files, by path inside a checkout (the main one unless `at` is given)."""
        for name, text in files.items():
            target = os.path.join(at or self.path, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)

    def commit(self, files: Mapping[str, str], message: str = "work", at: str | None = None) -> None:
        """Write files and commit them."""
        self.write(files, at)
        git("add", "-A", cwd=at or self.path)
        git("commit", "-q", "-m", message, cwd=at or self.path)

    def worktree(self, name: str, path: str | os.PathLike[str] | None = None) -> str:
        """Add a linked worktree on a branch of its own; return its real path."""
        target = os.fspath(path or os.path.join(os.path.dirname(self.path), name))
        git("worktree", "add", "-q", "-b", name, target, cwd=self.path)
        return os.path.realpath(target)

    def remove(self, path: str) -> None:
        """Remove a linked worktree as people do, whatever is in it."""
        git("worktree", "remove", "--force", path, cwd=self.path)

    def git(self, *words: str, at: str | None = None) -> str:
        """Run git in a checkout (the main one unless `at` is given)."""
        return git(*words, cwd=at or self.path)
