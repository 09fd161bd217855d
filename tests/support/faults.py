"""The ways a run ends: what is done to a launcher, to its parts, and to its worktree.

A fault is done to an `Arena` whose shapes are all ready.  `PLAIN` can be done to any launcher,
`PARTS` only to one that has a supervisor.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping

from tests.support.arena import Arena, kill, supervisor_of
from tests.support.terminal import Terminal

Fault = Callable[[Arena, Terminal], None]


def signalled(signum: signal.Signals) -> Fault:
    """Return the fault that sends a signal to the launcher alone."""
    return lambda _arena, shown: shown.popen.send_signal(signum)


def interrupt(_arena: Arena, shown: Terminal) -> None:
    """Press Ctrl-C."""
    shown.interrupt()


def quit_key(_arena: Arena, shown: Terminal) -> None:
    """Press Ctrl-backslash."""
    shown.quit()


def hang_up(_arena: Arena, shown: Terminal) -> None:
    """Close the window."""
    shown.hang_up()


def service_exits(arena: Arena, _shown: Terminal) -> None:
    """One service ends by itself."""
    arena.open_gate()


def git_removes(arena: Arena, _shown: Terminal) -> None:
    """`git worktree remove --force`."""
    arena.repository.remove(arena.root)


def folder_removed(arena: Arena, _shown: Terminal) -> None:
    """`rm -rf`."""
    shutil.rmtree(arena.root)


def moved_to_trash(arena: Arena, _shown: Terminal) -> None:
    """Moved to the trash folder that a tool keeps inside the git dir."""
    trash = os.path.join(arena.repository.path, ".git", "wt", "trash")
    os.makedirs(trash)
    os.rename(arena.root, os.path.join(trash, "feature-1"))


def kill_supervisor(_arena: Arena, shown: Terminal) -> None:
    """SIGKILL of the supervisor."""
    kill(supervisor_of(shown.process))


def kill_both(_arena: Arena, shown: Terminal) -> None:
    """SIGKILL of keeper and supervisor at the same instant."""
    kill(shown.process, supervisor_of(shown.process))


PLAIN: Mapping[str, Fault] = {
    "Ctrl-C": interrupt,
    "TERM": signalled(signal.SIGTERM),
    "hang-up": hang_up,
    "QUIT": quit_key,
    "SIGKILL": signalled(signal.SIGKILL),
    "a service ends": service_exits,
    "git worktree remove": git_removes,
    "rm -rf": folder_removed,
    "moved to trash": moved_to_trash,
}
PARTS: Mapping[str, Fault] = {"SIGKILL supervisor": kill_supervisor, "SIGKILL both": kill_both}
EXIT_CODES = {
    "Ctrl-C": 130,
    "TERM": 143,
    "hang-up": 129,
    "QUIT": 131,
    "SIGKILL": -9,
    "a service ends": 3,
    "git worktree remove": 1,
    "rm -rf": 1,
    "moved to trash": 1,
    "SIGKILL supervisor": 137,
    "SIGKILL both": -9,
}
"""What devrun exits with."""

ELUSIVE = {"session": "left session", "daemon": "daemon", "nohup": "main", "background": "background"}
"""shape → role of what may outlive SIGKILL of all devrun processes at once: it left the session or
the foreground group, or ignores HUP."""
