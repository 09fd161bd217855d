"""The folder devrun was called in, which may be gone by now."""

from __future__ import annotations

import os

from devrun.errors import UsageError, reason_of


def current_folder() -> str:
    """Return the current working directory.  Raises UsageError when it was deleted under devrun."""
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the current folder cannot be read: {reason_of(error)}; was it deleted?", hint="`cd` to an existing folder"
        ) from error


def last_folder() -> str:
    """Return the current working directory, or by `PWD` where it was when it has been deleted since."""
    try:
        return os.getcwd()
    except OSError:
        path = os.environ.get("PWD", "")
        return path if os.path.isabs(path) else os.sep
