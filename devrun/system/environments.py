"""Environment blocks: keep devrun's own keys and two paths, drop the rest unseen.

Pure, shared by every backend.  The rest may hold secrets: it is never decoded.
"""

from __future__ import annotations

import os

from devrun.model import STAMP_VARIABLES, ProcessEnvironment, Stamp

_STAMP_KEYS = tuple(f"\0{name}=".encode() for name in STAMP_VARIABLES)


def parse_environment(raw: bytes) -> ProcessEnvironment | None:
    """Keep devrun's keys of an environment block (proc(5), environ: as it was at exec); None when it is empty.

    Zombies, kernel threads, programs that wrote over their environment and systems that hide it read
    as empty, so an empty block proves nothing.  The first of equal keys wins, as in getenv(3).  A
    stamp that is not whole is no stamp.
    """
    if not raw.strip(b"\0"):
        return None
    block = b"\0" + raw
    stamp = None
    if _STAMP_KEYS[0] in block:
        run, service, worktree, state_dir = (_value(block, key) for key in _STAMP_KEYS)
        if run and service and worktree and state_dir:
            stamp = Stamp(run=run, service=service, worktree=worktree, state_dir=state_dir)
    return ProcessEnvironment(stamp=stamp, pwd=_value(block, b"\0PWD="), init_cwd=_value(block, b"\0INIT_CWD="))


def _value(block: bytes, key: bytes) -> str | None:
    start = block.find(key)
    if start < 0:
        return None
    start += len(key)
    end = block.find(b"\0", start)
    return os.fsdecode(block[start:] if end < 0 else block[start:end])
