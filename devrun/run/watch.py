"""What can end a run from outside: the death of those it is bound to, the loss of its worktree or its record.

The watchers tell once, through a callback with the reason in words.  What has to be looked at shares
one pulse, so that an idle run wakes once a second and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from devrun.model import ProcessIdentity, Worktree
from devrun.run.loop import Loop
from devrun.run.plan import PULSE
from devrun.system.control import Handle, SystemControl
from devrun.worktrees.survey import worktree_is_gone


class Pulse:
    """Calls its lookers once a second; one that returns False is not called again."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._lookers: list[Callable[[], bool]] = []
        loop.call_later(PULSE, self._beat)

    def add(self, look: Callable[[], bool]) -> None:
        """Call `look` from the next beat on."""
        self._lookers.append(look)

    def _beat(self) -> None:
        self._lookers = [look for look in self._lookers if look()]
        self._loop.call_later(PULSE, self._beat)


def watch_processes(
    loop: Loop, pulse: Pulse, identities: Iterable[ProcessIdentity], on_death: Callable[[str], None]
) -> None:
    """Call `on_death` when one of the processes ends, or has ended already.

    By pidfd where there is one, else by looking once a second.  pid 1 is not looked at: with the init of a
    container ends everybody in it (pid_namespaces(7)).
    """
    control = SystemControl()
    for identity in (each for each in identities if each.pid > 1):
        handle = control.open(identity)
        if handle is None:
            on_death(_ended(identity))
        else:
            _watch_process(loop, pulse, handle, on_death)


def _watch_process(loop: Loop, pulse: Pulse, handle: Handle, on_death: Callable[[str], None]) -> None:
    descriptor = handle.fileno()

    def tell() -> None:
        if descriptor is not None:
            loop.ignore(descriptor)
        handle.close()
        on_death(_ended(handle.identity))

    def look() -> bool:
        is_gone = handle.is_gone()
        if is_gone:
            tell()
        return not is_gone

    if descriptor is None:
        pulse.add(look)
    else:
        loop.watch(descriptor, tell)


def _ended(identity: ProcessIdentity) -> str:
    return f"process {identity.pid}, which started this run or owns it, has ended"


def watch_folders(pulse: Pulse, worktree: Worktree, record: str, on_loss: Callable[[str], None]) -> None:
    """Call `on_loss` when the worktree, or the run's `record` in the state folder, is lost."""
    watch_worktree(pulse, worktree, on_loss)
    watch_record(pulse, record, on_loss)


def watch_worktree(pulse: Pulse, worktree: Worktree, on_loss: Callable[[str], None]) -> None:
    """Call `on_loss` when the worktree was removed, replaced by another folder, or moved to trash.

    A look is one stat; only when the folder is not the one it was does git get asked.  A worktree
    that git moved, or whose volume is unmounted, is not lost; nor is one of which nothing is known.
    """

    def look() -> bool:
        reason = None if _is_in_place(worktree) else worktree_is_gone(worktree)
        if reason is not None:
            on_loss(reason)
        return reason is None

    pulse.add(look)


def watch_record(pulse: Pulse, folder: str, on_loss: Callable[[str], None]) -> None:
    """Call `on_loss` when the run's own folder in the state folder was removed.

    No command could find the run any more, and what it started would have to be kept for unknown by
    whoever comes next.  A folder that cannot be looked at for another reason is not lost.
    """

    def look() -> bool:
        try:
            os.stat(folder)
        except (FileNotFoundError, NotADirectoryError):
            on_loss(f"the record of this run, `{folder}`, is gone")
            return False
        except OSError:
            return True
        return True

    pulse.add(look)


def _is_in_place(worktree: Worktree) -> bool:
    try:
        found = os.stat(worktree.root)
    except OSError:
        return False
    return worktree.file_id is None or (found.st_dev, found.st_ino) == worktree.file_id
