"""Questions about paths whose folders may be gone."""

from __future__ import annotations

import os


def upwards(path: str) -> list[str]:
    """Return `path` and the folders above it, nearest first."""
    folders = [path]
    while (parent := os.path.dirname(path)) != path:
        folders.append(path := parent)
    return folders


def device_above(path: str, /) -> int | None:
    """Return the device of the nearest folder above `path` that is there; None when one cannot be looked at."""
    for folder in upwards(path)[1:]:
        try:
            return os.stat(folder).st_dev
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None
