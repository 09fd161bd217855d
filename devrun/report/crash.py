"""A bug in devrun: one line for the person, a report file for whoever mends it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence

from devrun import __version__

BUG_EXIT_CODE = 70


def report_bug(error: BaseException, words: Sequence[str], /) -> int:
    """Write versions and traceback to a file in the temp folder; say where; return exit code 70.

    The environment is left out: it may hold secrets.
    """
    lines = [
        f"devrun {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {list(words)!r}",
        "",
        *traceback.format_exception(error),
    ]
    line = f"error: a bug in devrun: {type(error).__name__}: {error}"
    try:
        handle, path = tempfile.mkstemp(prefix="devrun-report-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
            report.write("\n".join(lines))
        line += f"\nhint: the report is in `{path}`"
    except OSError:
        line += "\n" + "\n".join(lines)
    sys.stderr.write(line + "\n")
    return BUG_EXIT_CODE
