"""Questions about paths, answered by the path alone where the folder may be gone."""

from __future__ import annotations

import os


def upwards(path: str) -> list[str]:
    """Return `path` and the folders above it, nearest first."""
    folders = [path]
    while (parent := os.path.dirname(path)) != path:
        folders.append(path := parent)
    return folders


def is_there(path: str, /) -> bool | None:
    """Say whether something is at `path`; None when that cannot be looked at."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    return True


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


def repository_of(git_dir: str, /) -> str | None:
    """Return the common git dir of a linked worktree's git dir, which lies in its `worktrees/`; None for any other."""
    above = os.path.dirname(git_dir)
    return os.path.dirname(above) if os.path.basename(above) == "worktrees" else None


def folder_of(repository: str, /) -> str:
    """Return the folder that a common git dir belongs to: the checkout around `.git`, a bare repository itself."""
    return os.path.dirname(repository) if os.path.basename(repository) == ".git" else repository


def is_deleted(path: str, device: int | None, /) -> bool:
    """Say whether nothing is at `path` any more, and what is above lies on the device that was recorded for it.

    Where a volume is unmounted another device shows.
    """
    return device is not None and not os.path.lexists(path) and device_above(path) == device
