"""Is the worktree of a process gone?  The table, row by row, over facts that somebody else gathered.

The innermost worktree that contains the folder owns the process.  The table is read from the top;
the first row that applies decides, and the last one keeps.  Every fact may be `None`: not read, not
readable, not sure.  A row that condemns asks for facts that are there (`is True`, `is False`), so a
missing fact falls through to a row that keeps.

Where the facts come from (`worktrees.survey`): `folder` compares device and inode, not path text alone;
`listed` is `git worktree list`, never git's files; `None` there means that git failed, timed out,
refused, or printed nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from devrun.model import Folder, Surroundings


class Fate(enum.Enum):
    """What follows for a process that stands there."""

    NOWHERE = "nowhere"
    LIVE = "live"
    UNKNOWN = "unknown"
    ORPHAN = "orphan"
    ORPHAN_IF_STAMPED = "orphan if stamped"
    REPORT = "report"
    UNDECIDED = "undecided"


class Row(NamedTuple):
    """One row of the table: when it applies, what follows, and its words for people."""

    name: str
    applies: Callable[[Surroundings], bool]
    fate: Fate
    words: str


TABLE: tuple[Row, ...] = (
    Row("outside", lambda it: it.root is None, Fate.NOWHERE, "stands in no worktree"),
    Row(
        "repository gone",
        lambda it: it.repository_gone is True and it.folder is Folder.DELETED and it.known,
        Fate.ORPHAN,
        "its whole repository is gone",
    ),
    Row("git silent", lambda it: it.live is None, Fate.UNKNOWN, "the live worktrees of its repository are unknown"),
    Row("folder unknown", lambda it: it.folder is None, Fate.UNKNOWN, "its folder could not be read"),
    Row("alive", lambda it: it.folder is Folder.PRESENT and it.live is True, Fate.LIVE, "its worktree is alive"),
    Row(
        "re-created",
        lambda it: it.live is True and it.predecessor is True,
        Fate.ORPHAN,
        "its worktree was removed, and re-created after it started",
    ),
    Row(
        "deleted sub-folder",
        lambda it: it.live is True,
        Fate.REPORT,
        "its folder was deleted, its worktree is alive",
    ),
    Row(
        "trash",
        lambda it: it.folder is Folder.PRESENT and it.in_trash is True,
        Fate.ORPHAN,
        "its worktree was moved to a trash folder inside a git dir",
    ),
    Row(
        "removed with its trash",
        lambda it: it.folder is Folder.DELETED and it.in_trash is True,
        Fate.ORPHAN,
        "its worktree was moved to a trash folder inside a git dir, and deleted there",
    ),
    Row(
        "deleted sub-folder of one that git does not list",
        lambda it: it.folder is Folder.DELETED and it.has_checkout is True,
        Fate.REPORT,
        "its folder was deleted; its worktree is there, though git does not list it (moved by hand?)",
    ),
    Row(
        "removed",
        lambda it: it.folder is Folder.DELETED and it.known and it.has_checkout is False,
        Fate.ORPHAN,
        "its worktree is gone",
    ),
    Row(
        "left-over folder",
        lambda it: it.folder is Folder.PRESENT and it.known and it.has_checkout is False,
        Fate.ORPHAN_IF_STAMPED,
        "its worktree is gone, the folder was made again without one",
    ),
    Row("none of these", lambda _: True, Fate.UNDECIDED, "nothing says that its worktree is gone"),
)


def judge(surroundings: Surroundings | None, /) -> Row:
    """Return the row of the table that decides; facts that were never gathered keep."""
    if surroundings is None:
        return _UNREAD
    return next(row for row in TABLE if row.applies(surroundings))


_UNREAD = Row("unread", lambda _: True, Fate.UNKNOWN, "where it stands could not be read")
