"""The slug of a worktree: a short name for databases, queues and cookies.

`[a-z0-9][a-z0-9_-]*`, at most 40 characters, unique in its repository, stable over branch switch
and move.  It comes from the name git gave the worktree's git dir, which is unique; whenever that
name has to be changed (case, characters, length, a reserved word), a hash of it is added.
"""

from __future__ import annotations

import re

MAIN = "main"
_LONGEST = 40
"""A database name may have 63 characters (PostgreSQL); the rest is for the project's own prefix."""


def make_slug(name: str, *, reserved: bool = False) -> str:
    """Return the slug for a git dir's `name`; `reserved` says that the plain word is taken."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    if slug == name and not reserved and len(slug) <= _LONGEST:
        return slug
    from hashlib import sha256  # OpenSSL takes 2 ms to load, and most names need no mark

    mark = sha256(name.encode(errors="surrogateescape")).hexdigest()[:6]
    return f"{slug[: _LONGEST - 7].rstrip('-_') or 'worktree'}-{mark}"
