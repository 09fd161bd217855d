"""The errors a person may see: a fact, a hint to paste, and the exit code they mean.

Everything a command can refuse or fail on is a `DevrunError`; `cli.main` is the one place that
catches them.  Anything else that reaches the boundary is a bug in devrun (exit 70).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import ClassVar

EXIT_CODES: Mapping[str, str] = {
    "0": "done, or nothing to do",
    "1": "it ran and the answer is bad",
    "2": "usage or configuration",
    "3": "refused: somebody who must not be stopped is in the way",
    "70": "a bug in devrun",
    "124": "not ready in time",
    "128+n": "ended by signal n",
}
"""What devrun itself exits with.  A service that failed and the CMD of `exec` and `run` have codes of their own."""


class DevrunError(Exception):
    """A failure with its explanation.

    `message` states the fact, lower case, without a full stop.  `hint` is what helps next, with a
    command that can be pasted.  `where` is a place in a file, `path:line:column`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, /, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as people read it; more than one line only where several mistakes are told at once."""
        return (self.message,)


class UsageError(DevrunError):
    """The command line or an environment variable makes no sense."""

    exit_code = 2


class ConfigError(DevrunError):
    """services.yaml, a Procfile or an env file cannot be used as it stands."""

    exit_code = 2


class NotARepositoryError(DevrunError):
    """A command that needs a git worktree was called outside of one."""

    exit_code = 2


class RefusedError(DevrunError):
    """Safety said no: somebody who must not be stopped is in the way."""

    exit_code = 3


class PortConflictError(RefusedError):
    """No set of ports is free, or the port wanted belongs to somebody else."""


class IncompleteError(DevrunError):
    """It ran, and something survived or could not be finished."""


class BugError(DevrunError):
    """Devrun itself fell over; the hint names the report file."""

    exit_code = 70


class StateError(DevrunError):
    """The state folder cannot be used; the message names its path."""


class NotReadyError(DevrunError):
    """A service was not ready in time."""

    exit_code = 124


class CommandNotFoundError(DevrunError):
    """The CMD of `exec` or `run` does not exist."""

    exit_code = 127


def reason_of(error: OSError, /) -> str:
    """Return why the system refused, in the case of our messages: `permission denied`."""
    return (error.strerror or str(error)).lower()


def exhausted(error: BaseException, /) -> DevrunError | None:
    """Return what to say where the system, or a limit of the caller's, has no descriptor left: no bug of ours."""
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return DevrunError("too many open files", hint="`ulimit -n 4096`, and again")
    return None
