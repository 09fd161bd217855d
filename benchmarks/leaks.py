"""What launchers leave: eleven shapes of services, every way a run ends.  Linux.

    python -m benchmarks.leaks [--launchers devrun honcho foreman] [--faults …] [--portable] [--json]

A cell is the number of processes left, of those the services made (the shells around them counted
too), and by which shapes; for zero, the seconds until the last one was gone.  Each cell is a run of
its own with all shapes as its services.  What is left gets ten seconds, then it is killed by
identity.  honcho is looked for beside this Python, foreman on PATH (Debian: ruby-foreman).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psutil

from tests.support.arena import Arena, default_signals
from tests.support.devrun import PROGRAM
from tests.support.faults import PARTS, PLAIN, Fault, git_removes, kill_both
from tests.support.leak_guard import become_subreaper
from tests.support.processes import lives, wait_gone
from tests.support.repositories import GIT_ENVIRONMENT
from tests.support.terminal import Terminal

PATIENCE = 10.0
"""Seconds before what is still there counts as left: twice the time foreman and honcho take to kill."""


class Cell(NamedTuple):
    """What one launcher left after one fault."""

    left: int
    shapes: tuple[str, ...]
    seconds: float | None

    def text(self) -> str:
        """Return the cell of a table."""
        if self.left < 0:
            return "did not start"
        return f"0 ({self.seconds:.2f} s)" if self.seconds is not None else str(self.left)


Launcher = Callable[[Arena], list[str]]
Story = Callable[[Arena, Launcher], Terminal]


def devrun(_arena: Arena) -> list[str]:
    return [PROGRAM, "up"]


def honcho(arena: Arena) -> list[str]:
    return [os.path.join(os.path.dirname(sys.executable), "honcho"), "start", "-p", str(arena.base + 1000)]


def foreman(arena: Arena) -> list[str]:
    return [shutil.which("foreman") or "foreman", "start", "-p", str(arena.base + 1000)]


LAUNCHERS: Mapping[str, Launcher] = {"devrun": devrun, "honcho": honcho, "foreman": foreman}


def simply(fault: Fault) -> Story:
    """Return the story: start at a terminal, and then the fault."""

    def tell(arena: Arena, launcher: Launcher) -> Terminal:
        shown = arena.start(launcher(arena))
        fault(arena, shown)
        return shown

    return tell


def under_npm(signum: signal.Signals) -> Story:
    """Return the story: `npm run dev` around the launcher gets a signal."""

    def tell(arena: Arena, launcher: Launcher) -> Terminal:
        scripts = {"dev": shlex.join(launcher(arena))}
        arena.repository.write({"package.json": json.dumps({"name": "arena", "scripts": scripts})}, arena.root)
        shown = arena.start(["npm", "run", "dev"])
        shown.popen.send_signal(signum)
        return shown

    return tell


def under_a_shell(arena: Arena, launcher: Launcher) -> Terminal:
    """Kill the shell that started the launcher in its background."""
    shown = arena.open(["sh", "-i"])
    shown.type(shlex.join(launcher(arena)) + " &\n")
    arena.await_ready(shown)
    shown.popen.kill()
    return shown


def _killed(arena: Arena, launcher: Launcher) -> Terminal:
    shown = arena.start(launcher(arena))
    if launcher is devrun:
        kill_both(arena, shown)
    else:
        shown.popen.kill()
    arena.await_end(shown)
    return shown


def removed_after_sigkill(arena: Arena, launcher: Launcher) -> Terminal:
    """Kill everything of the launcher, remove the worktree, and start in another worktree."""
    shown = _killed(arena, launcher)
    git_removes(arena, shown)
    if launcher is devrun:
        subprocess.run([PROGRAM, "up"], cwd=arena.other, check=True, stdout=subprocess.DEVNULL)
    return shown


def started_twice(arena: Arena, launcher: Launcher) -> Terminal:
    """Kill everything of the launcher, start again in the same worktree, then Ctrl-C."""
    _killed(arena, launcher)
    again = arena.open(launcher(arena))
    with contextlib.suppress(AssertionError):  # who does not get its port back does not become ready
        arena.await_ready(again)
    again.interrupt()
    return again


STORIES: Mapping[str, Story] = {
    **{name: simply(fault) for name, fault in PLAIN.items()},
    "removed after SIGKILL, start elsewhere": removed_after_sigkill,
    "second start after SIGKILL, Ctrl-C": started_twice,
    "TERM of `npm run dev`": under_npm(signal.SIGTERM),
    "SIGKILL of `npm run dev`": under_npm(signal.SIGKILL),
    "shell of `… &` killed": under_a_shell,
    **{name: simply(fault) for name, fault in PARTS.items()},
}


def play(launcher: Launcher, story: Story, folder: str) -> Cell:
    """Tell one story to one launcher in a fresh arena; clean up what it left."""
    arena = Arena(folder)
    try:
        try:
            shown = story(arena, launcher)
        except AssertionError:  # not every service reported in time
            return Cell(-1, (), None)
        seconds = arena.await_empty(PATIENCE)
        arena.await_end(shown, 2)
        wait_gone(_members(arena), 0.5 if seconds is not None else 0.0)
        return Cell(len(_members(arena)), tuple(sorted(arena.roll.by_shape())), seconds)
    finally:
        for _ in range(20):
            left = [each for each in psutil.Process().children(recursive=True) if lives(each)]
            if not left:
                break
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            wait_gone(left, 5)
        arena.close()


def _members(arena: Arena) -> list[psutil.Process]:
    """Return who lives below this program and is none of the launchers' own processes."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = " ".join(each.cmdline())
            if lives(each) and ("shapes.py" in words or arena.gate in words):
                found.append(each)
    return found


def main() -> int:
    """Run the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launchers", nargs="+", default=list(LAUNCHERS), choices=list(LAUNCHERS))
    parser.add_argument("--faults", nargs="+", default=list(STORIES), choices=list(STORIES))
    parser.add_argument("--portable", action="store_true", help="devrun without the helpers that only Linux has")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    become_subreaper()
    default_signals()
    table: dict[str, dict[str, Cell]] = {}
    for fault in options.faults:
        for name in options.launchers:
            if fault in PARTS and name != "devrun":
                continue
            with tempfile.TemporaryDirectory(prefix="leaks-", dir="/tmp", ignore_cleanup_errors=True) as folder:
                own = {"DEVRUN_STATE_DIR": f"{folder}/state", "XDG_RUNTIME_DIR": folder, "HOME": folder}
                os.environ.update(GIT_ENVIRONMENT, **own, **({"DEVRUN_PORTABLE": "1"} if options.portable else {}))
                with contextlib.redirect_stdout(io.StringIO()):  # what the terminals showed
                    table.setdefault(fault, {})[name] = play(LAUNCHERS[name], STORIES[fault], folder)
            cell = table[fault][name]
            print(f"{fault}: {name}: {cell.text()} {' '.join(cell.shapes)}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({fault: {name: cell._asdict() for name, cell in row.items()} for fault, row in table.items()}))
        return 0
    print(f"| fault | {' | '.join(options.launchers)} |\n|---|{'---|' * len(options.launchers)}")
    for fault, row in table.items():
        cells = (row[name].text() if name in row else "-" for name in options.launchers)
        print(f"| {fault} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
