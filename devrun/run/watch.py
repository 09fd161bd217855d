"""What can end a run from outside: the death of those it is bound to, the loss of its worktree.

Both watchers tell once, through a callback with the reason in words.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from devrun.model import ProcessIdentity, Worktree
from devrun.run.loop import Loop
from devrun.system.control import Handle, SystemControl
from devrun.worktrees.survey import worktree_is_gone

WATCH_INTERVAL = 1.0
"""Seconds between two looks.  Shorter wakes an idle machine; longer breaks "within two seconds"."""


def watch_processes(loop: Loop, identities: Iterable[ProcessIdentity], on_death: Callable[[str], None]) -> None:
    """Call `on_death` when one of the processes ends, or has ended already.

    By pidfd where there is one, else by looking once a second.
    """
    control = SystemControl()
    for identity in identities:
        handle = control.open(identity)
        if handle is None:
            on_death(f"process {identity.pid}, which started this run or owns it, has ended")
            return
        _watch_process(loop, handle, on_death)


def _watch_process(loop: Loop, handle: Handle, on_death: Callable[[str], None]) -> None:
    descriptor = handle.fileno()

    def look() -> None:
        if handle.is_gone():
            if descriptor is not None:
                loop.ignore(descriptor)
            handle.close()
            on_death(f"process {handle.identity.pid}, which started this run or owns it, has ended")
        elif descriptor is None:
            loop.call_later(WATCH_INTERVAL, look)

    if descriptor is None:
        look()
    else:
        loop.watch(descriptor, look)


def watch_worktree(loop: Loop, worktree: Worktree, on_loss: Callable[[str], None]) -> None:
    """Call `on_loss` when the worktree was removed, replaced by another folder, or moved to trash.

    A look is one stat; only when the folder is not the one it was does git get asked.  A worktree
    that git moved, or whose volume is unmounted, is not lost; nor is one of which nothing is known.
    """

    def look() -> None:
        if _is_in_place(worktree):
            loop.call_later(WATCH_INTERVAL, look)
            return
        reason = worktree_is_gone(worktree)
        if reason is None:
            loop.call_later(WATCH_INTERVAL, look)
        else:
            on_loss(reason)

    loop.call_later(WATCH_INTERVAL, look)


def _is_in_place(worktree: Worktree) -> bool:
    try:
        found = os.stat(worktree.root)
    except OSError:
        return False
    return worktree.file_id is None or (found.st_dev, found.st_ino) == worktree.file_id
