"""Eight worktrees with their runs, and what has to be true of them at rest.

Then every process below this program belongs to a living run, each living run has all of its
processes, and the planted bystanders live.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil

from tests.support.arena import Roll, free_base, kill, supervisor_of
from tests.support.devrun import PROGRAM
from tests.support.leak_guard import describe
from tests.support.processes import lives, wait_gone
from tests.support.repositories import Repository
from tests.support.shapes import COUNTS, MATRIX

WORKTREES = 8
GRACE = 0.5
PATIENCE = 60.0
"""Seconds for a state that has to come; a busy machine gets there late, a leak never."""


class BrokenError(Exception):
    """A promise did not hold."""


class Run:
    """One `devrun up`: its keeper, and the processes of its services."""

    def __init__(self, place: Place, number: int, folder: str) -> None:
        self.place = place
        self.roll = Roll(folder, f"run{number}")
        self.log = os.path.join(folder, f"run{number}.log")
        environment = {**os.environ, "CHAOS_READY": self.roll.ready_path, "CHAOS_ALIVE": self.roll.alive_path}
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(
                [PROGRAM, "up"],
                cwd=place.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.keeper = psutil.Process(self.popen.pid)
        self.supervisor: psutil.Process | None = None
        self.should_live = True
        self.is_unaware = False
        """Whether a part of it was killed that it has to find out about by itself."""

    @property
    def has_ended(self) -> bool:
        """Whether the keeper has ended."""
        return self.popen.poll() is not None

    def is_ready(self) -> bool:
        """Whether every process of its services has reported."""
        self.roll.take()
        if len(self.roll.reported) < self.place.count:
            return False
        if self.supervisor is None and not self.has_ended:
            with contextlib.suppress(ValueError, psutil.Error):
                self.supervisor = supervisor_of(self.keeper)
        return True

    def tail(self) -> str:
        """Return the end of what it printed."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]


class Place:
    """One worktree, there or not, and its run."""

    def __init__(self, number: int, root: str) -> None:
        self.number = number
        self.root = root
        self.there = True
        self.shapes: tuple[str, ...] = ()
        self.run: Run | None = None

    @property
    def count(self) -> int:
        """How many processes its services have."""
        return sum(COUNTS[shape] for shape in self.shapes)

    @property
    def expected(self) -> Run | None:
        """Its run, as long as that is to live and does."""
        run = self.run
        return run if run is not None and run.should_live and not run.has_ended else None


class World:
    """Eight worktrees, and what happens to them."""

    def __init__(self, seed: int, folder: str) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.trace: list[str] = []
        self.runs: list[Run] = []
        self.base = free_base()
        self.repository = Repository(os.path.join(folder, "repository"), {"README.md": "chaos\n"})
        self.places = [Place(0, self.repository.path)]
        self.places += [Place(n, self.repository.worktree(f"w{n}")) for n in range(1, WORKTREES)]
        for place in self.places:
            self.furnish(place)
        self.bystanders = list(self.plant())

    def furnish(self, place: Place) -> None:
        """Write a configuration of some shapes."""
        place.shapes = tuple(self.random.sample(sorted(MATRIX), self.random.randint(1, 4)))
        words = shlex.join([sys.executable, "-I", os.path.abspath("tests/support/shapes.py")])
        services = {
            shape: {"command": f'{words} {shape} "$CHAOS_READY" --alive "$CHAOS_ALIVE"', "stop": {"timeout": GRACE}}
            for shape in place.shapes
        }
        services[place.shapes[0]]["port"] = self.base
        self.repository.write({"services.yaml": json.dumps({"services": services})}, place.root)

    def plant(self) -> Iterator[psutil.Process]:
        """Start processes that nobody may touch: outside, in the main checkout, and an editor in a worktree."""
        editor = os.path.join(self.folder, "vim")
        shutil.copy2("/bin/sleep", editor)
        rest = [sys.executable, "-I", "-c", "import signal; signal.pause()", "tests/support/shapes.py", "listener"]
        homes = [
            (rest, self.folder),
            (rest, self.repository.path),
            *(([editor, "100000"], p.root) for p in self.places),
        ]
        for argv, cwd in homes:
            popen = subprocess.Popen(
                argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            yield psutil.Process(popen.pid)

    # For the events.

    def new_run(self, place: Place) -> Run:
        """Start `devrun up` in a worktree."""
        run = Run(place, len(self.runs), self.folder)
        self.runs.append(run)
        return run

    def let_it_notice(self, place: Place) -> None:
        """Wait for the end of a run that was hit: to start beside it in that moment is refused, rightly."""
        run = place.run
        if run is not None and run.is_unaware:
            self.until(lambda: run.has_ended, "a run without one of its services goes on", run)

    def hit(self, place: Place, victims: Callable[[Run], list[psutil.Process | None]]) -> bool:
        """SIGKILL parts of a run that is ready; return whether there was one."""
        run = place.expected
        if run is None or not run.is_ready() or run.supervisor is None:
            return False
        run.should_live = False
        with contextlib.suppress(psutil.NoSuchProcess):
            kill(*(each for each in victims(run) if each is not None))
        return True

    def until(self, condition: Callable[[], bool], problem: str, run: Run | None) -> None:
        """Wait for what has to come; what does not is the problem."""
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                words = "" if run is None else f" (w{run.place.number}, pid {run.popen.pid})\n{run.tail()}"
                raise BrokenError(problem + words)
            time.sleep(0.01)

    # Rest, and what has to hold then.

    def rest(self) -> None:
        """Wait until every run that is to end has ended, its supervisor included."""
        for run in self.runs:
            if not run.should_live:
                self.until(lambda run=run: run.has_ended, "a run that was to end goes on", run)
        ours = {run.popen.pid for run in self.runs if run.should_live}

        def devruns() -> list[psutil.Process]:
            found = [each for each in psutil.Process().children() if lives(each) and each.pid not in ours]
            return [each for each in found if _is_devrun(each)]

        self.until(lambda: not devruns(), "a supervisor without a keeper goes on", None)
        if any(run.has_ended for run in self.runs if run.should_live):
            run = next(run for run in self.runs if run.should_live and run.has_ended)
            raise BrokenError(f"a run of w{run.place.number} ended by itself ({run.popen.returncode})\n{run.tail()}")

    def check(self) -> None:
        """Compare who lives with who should."""
        living = [run for run in self.runs if run.should_live]
        for run in living:
            run.roll.take()
            shapes = sorted(each.shape for each in run.roll.living())
            expected = sorted(shape for shape in run.place.shapes for _ in range(COUNTS[shape]))
            if shapes != expected:
                raise BrokenError(f"the run of w{run.place.number} has {shapes}, not {expected}\n{run.tail()}")
        wait_gone(self._strays(living), 5)  # who was just killed may be on the way out
        strays = self._strays(living)
        if strays:
            raise BrokenError("left behind: " + "; ".join(describe(each) for each in strays))
        dead = [describe(each) for each in self.bystanders if not lives(each)]
        if dead:
            raise BrokenError(f"innocents died: {dead}")

    def _strays(self, living: list[Run]) -> list[psutil.Process]:
        """Return who belongs to no living run; what left its tree is known because it reported."""
        ours = {run.keeper for run in living} | set(self.bystanders)
        ours |= {child for run in living for child in run.keeper.children(recursive=True)}
        ours |= {each.process for run in living for each in run.roll.reported if each.process is not None}
        everybody = psutil.Process().children(recursive=True)
        return [each for each in everybody if each not in ours and lives(each)]

    def close(self) -> None:
        """End every run and kill what is left, by identity."""
        for run in self.runs:
            if not run.has_ended:
                run.popen.terminate()
        for run in self.runs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.popen.wait(PATIENCE)
        for _ in range(5):
            left = [each for each in psutil.Process().children(recursive=True) if lives(each)]
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            wait_gone(left, 5)
        for run in self.runs:
            run.roll.close()


def _is_devrun(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return PROGRAM in process.cmdline()
    return False
