"""A bug in devrun: one line for the person, a report file for whoever mends it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence

from devrun import __version__
from devrun.errors import BugError


def report_bug(error: BaseException, words: Sequence[str], /) -> BugError:
    """Write versions and traceback to a file in the temp folder; return what there is to say.

    The environment is left out: it may hold secrets.  Where no file can be written, the report goes to
    stderr.
    """
    text = (
        f"devrun {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {list(words)!r}\n\n{''.join(traceback.format_exception(error))}"
    )
    message = f"a bug in devrun: {type(error).__name__}: {error}"
    try:
        handle, path = tempfile.mkstemp(prefix="devrun-report-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
            report.write(text)
    except OSError:
        sys.stderr.write(text)
        return BugError(message)
    return BugError(message, hint=f"the report is in `{path}`")
