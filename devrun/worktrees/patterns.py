"""Where worktrees live by habit: globs on path segments.

`.worktrees/*` and `.claude/worktrees/*` at any depth, and `sweep.paths` of the configuration: an
absolute pattern (or one that begins with `~`) is anchored at the root of the file system, any other
matches at any depth.  `*` never crosses a `/`.  A pattern without a wild card, or that would match
the root itself, matches nothing.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable

_Segment = tuple[str, bool]
"""A glob, and whether it has a wild card at all."""

BUILT_IN = (".worktrees/*", ".claude/worktrees/*")


class Patterns:
    """The globs of one question."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self._anchored: list[list[_Segment]] = []
        self._floating: list[list[_Segment]] = []
        for pattern in (*BUILT_IN, *added):
            path = os.path.expanduser(pattern)
            segments = [(part, any(each in part for each in "*?[")) for part in path.split("/") if part]
            if not segments or not segments[-1][1]:
                continue
            (self._anchored if path.startswith("/") else self._floating).append(segments)

    def root_of(self, path: str, /) -> str | None:
        """Return the deepest folder at or above `path` that a pattern names, None when there is none."""
        parts = [part for part in path.split("/") if part]
        for end in range(len(parts), 0, -1):
            if any(_matches(parts[:end], pattern) for pattern in self._anchored) or any(
                end > len(pattern) - 1 and _matches(parts[end - len(pattern) : end], pattern)
                for pattern in self._floating
            ):
                return "/" + "/".join(parts[:end])
        return None


def _matches(parts: list[str], pattern: list[_Segment]) -> bool:
    return len(parts) == len(pattern) and all(
        part == glob or (wild and fnmatch.fnmatchcase(part, glob))
        for part, (glob, wild) in zip(parts, pattern, strict=True)
    )
