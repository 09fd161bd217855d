"""Asking git: bounded in time, in an environment of its own, with "no answer" told from "empty".

A git that takes too long goes with everything it started (a hook, a pager, a wedged helper).

Variables that point git at another repository (a hook's GIT_DIR, …) are not passed on, nor any
translation; GIT_OPTIONAL_LOCKS=0 keeps reading commands from writing the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from devrun.system.bounded import TooLongError, run_bounded, run_shown

TIMEOUT = 2.0
"""Seconds one question may take.  Shorter loses the answer on a cold disk; longer eats the budget of
a sweep over many repositories."""

_LARGEST = 64 << 20
"""Bytes of an answer: a checkout with half a million untracked files fits, a git gone mad does not."""

_POINTERS = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
    | {"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_CONFIG"}
    | {"GIT_IMPLICIT_WORK_TREE", "GIT_REPLACE_REF_BASE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH"}
)
"""What `git rev-parse --local-env-vars` lists, but the configuration given with `git -c`."""


class GitAnswer(NamedTuple):
    """Exit code and output of a git that ran to its end."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def problem(self) -> str:
        """The first line git complained with, or its exit code."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[0].removeprefix("fatal: ") if lines else f"git ended with exit code {self.code}"


def git_environment() -> dict[str, str]:
    """Return this process's environment for a git that must not be led elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    return {**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def has_git() -> bool:
    """Whether a program called git is in PATH."""
    return any(os.access(os.path.join(folder, "git"), os.X_OK) for folder in os.get_exec_path())


def run_git(
    args: Sequence[str], *, cwd: str, timeout: float | None = TIMEOUT, variables: Mapping[str, str] | None = None
) -> GitAnswer | None:
    """Run git in `cwd`, with further `variables`; None when it cannot run or took longer than `timeout`."""
    try:
        done = run_bounded(
            ["git", *args],
            cwd=cwd,
            environment={**git_environment(), **(variables or {})},
            until=None if timeout is None else time.monotonic() + timeout,
            largest=_LARGEST,
        )
    except (OSError, TooLongError):  # a TimeoutError is an OSError
        return None
    return GitAnswer(done.code, done.stdout, done.stderr.decode(errors="replace"))


def show_git(args: Sequence[str], *, cwd: str) -> int | None:
    """Run git for as long as it takes, all of its output on stderr; None when there is no git.

    For a checkout, whose progress people want to see while stdout stays the command's answer.
    """
    try:
        return run_shown(["git", *args], cwd=cwd, environment=git_environment())
    except OSError:
        return None
