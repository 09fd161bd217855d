"""Random events over eight worktrees; at rest exactly the processes of the living runs are there.

    python -m benchmarks.chaos [--seed 1] [--events 200] [--portable] [--seeds 10]

Events: start, a second start, two starts at once, a start that is killed on its way, every signal to
the keeper, SIGKILL of keeper, supervisor, both, an anchor, a service; a worktree removed by git, by
rm, to trash, removed under a dead run, re-created, moved by git; a sweep.  After each sweep, once
everything has come to rest: every process below this program belongs to a living run, each living
run has all of its processes, and the planted bystanders live.  Exit 1 and the events so far when
that does not hold.  Linux: this program adopts what is orphaned below it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import psutil

from tests.support.arena import Roll, default_signals, free_base, kill, supervisor_of
from tests.support.devrun import PROGRAM
from tests.support.leak_guard import become_subreaper, describe
from tests.support.processes import lives, wait_gone
from tests.support.repositories import GIT_ENVIRONMENT, Repository
from tests.support.shapes import COUNTS, MATRIX

WORKTREES = 8
GRACE = 0.5
PATIENCE = 60.0
"""Seconds for a state that has to come; a busy machine gets there late, a leak never."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


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

    # What can happen.

    def happen(self) -> None:
        """Let one event happen that is possible now."""
        happened = False
        while not happened:
            place = self.random.choice(self.places)
            event = self.random.choice(EVENTS)
            self.trace.append(f"{event.__name__} w{place.number}")
            happened = event(self, place)
            if not happened:
                del self.trace[-1]

    # Each returns whether it was possible.

    def start(self, place: Place) -> bool:
        """`up`; beside a live run it is refused."""
        if not place.there:
            return False
        self._let_it_notice(place)
        before = place.run if place.run is not None and self._expects(place.run) else None
        run = self._new_run(place)
        if before is not None:
            self._until(lambda: run.has_ended or before.has_ended, "a second start was not refused", run)
            if run.has_ended and not before.has_ended:
                run.should_live = False
                if run.popen.returncode != 3:
                    raise BrokenError(f"a second start ended with {run.popen.returncode}\n{run.tail()}")
                return True
        place.run = run
        self._until(lambda: run.is_ready() or run.has_ended, "a start never got ready", run)
        if run.has_ended:
            raise BrokenError(f"a start of w{place.number} ended with {run.popen.returncode}\n{run.tail()}")
        return True

    def start_twice(self, place: Place) -> bool:
        """Two starts at once: one lives."""
        if not place.there or (place.run is not None and self._expects(place.run)):
            return False
        self._let_it_notice(place)
        pair = [self._new_run(place), self._new_run(place)]
        self._until(lambda: any(each.has_ended for each in pair), "two starts went on", pair[0])
        for each in pair:
            each.should_live = not each.has_ended
        winner = next((each for each in pair if each.should_live), None)
        if winner is None:
            raise BrokenError(f"two starts at once: neither lives\n{pair[0].tail()}\n{pair[1].tail()}")
        place.run = winner
        self._until(lambda: winner.is_ready() or winner.has_ended, "the winner never got ready", winner)
        return True

    def start_killed(self, place: Place) -> bool:
        """Kill the keeper of a start somewhere on its way."""
        if not place.there or (place.run is not None and self._expects(place.run)):
            return False
        run = self._new_run(place)
        run.should_live = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.popen.wait(self.random.random() * 0.4)
        run.popen.kill()
        run.popen.wait()
        return True

    def end(self, place: Place) -> bool:
        """Send a signal to the keeper."""
        run = place.run
        if run is None or not self._expects(run):
            return False
        run.popen.send_signal(self.random.choice(SIGNALS))
        run.should_live = False
        return True

    def down(self, place: Place) -> bool:
        """`devrun down`."""
        run = place.run
        if run is None or not self._expects(run) or not place.there:
            return False
        done = subprocess.run([PROGRAM, "down"], cwd=place.root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokenError(f"down ended with {done.returncode}: {done.stderr}")
        run.should_live = False
        self._until(lambda: run.has_ended, "a run goes on after `down`", run)
        return True

    def kill_keeper(self, place: Place) -> bool:
        """SIGKILL of the keeper."""
        return self._kill(place, lambda run: [run.keeper])

    def kill_supervisor(self, place: Place) -> bool:
        """SIGKILL of the supervisor."""
        return self._kill(place, lambda run: [run.supervisor])

    def kill_both(self, place: Place) -> bool:
        """SIGKILL of both at once."""
        return self._kill(place, lambda run: [run.keeper, run.supervisor])

    def kill_service(self, place: Place) -> bool:
        """SIGKILL of one process of the services; the run ends when it was a main one."""
        run = place.run
        if run is None or not self._expects(run):
            return False
        mains = [each for each in run.roll.living() if each.role in {"main", "sh"}]
        run.is_unaware = bool(mains) and self._kill(place, lambda _run: [self.random.choice(mains).process])
        return run.is_unaware

    def kill_anchor(self, place: Place) -> bool:
        """SIGKILL of an anchor."""
        run = place.run
        if run is None or not self._expects(run) or run.supervisor is None:
            return False
        anchors = [each for each in run.supervisor.children() if " ".join(each.cmdline()).startswith("/bin/sh -c trap")]
        run.is_unaware = bool(anchors) and self._kill(place, lambda _run: [self.random.choice(anchors)])
        return run.is_unaware

    def remove(self, place: Place) -> bool:
        """Remove the worktree: by git, by rm, or to the trash of a tool."""
        if not place.there or place.number == 0:
            return False
        how = self.random.choice(("git", "rm", "trash"))
        self.trace[-1] += f" by {how}"
        if how == "git":
            self.repository.remove(place.root)
        elif how == "rm":
            shutil.rmtree(place.root)
        else:
            trash = os.path.join(self.repository.path, ".git", "wt", "trash", f"w{place.number}-{len(self.trace)}")
            os.makedirs(os.path.dirname(trash), exist_ok=True)
            os.rename(place.root, trash)
        place.there = False
        if place.run is not None:
            place.run.should_live = False
        return True

    def recreate(self, place: Place) -> bool:
        """Make a removed worktree again, at the same path."""
        if place.there:
            return False
        self.repository.git("worktree", "prune")
        self.repository.git("worktree", "add", "-q", "--force", place.root, f"w{place.number}")
        place.there = True
        self.furnish(place)
        return True

    def move(self, place: Place) -> bool:
        """Git moves the worktree; a run of it goes on."""
        if not place.there or place.number == 0:
            return False
        target = f"{place.root}x"
        self.repository.git("worktree", "move", place.root, target)
        place.root = target
        return True

    def sweep(self, _place: Place) -> bool:
        """Wait for rest, sweep from some worktree, and look."""
        self.rest()
        where = self.random.choice([each for each in self.places if each.there])
        done = subprocess.run(
            [PROGRAM, "sweep"], cwd=where.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BrokenError(f"sweep ended with {done.returncode}: {done.stderr}")
        self.check()
        return True

    # Rest, and what has to hold then.

    def rest(self) -> None:
        """Wait until every run that is to end has ended, its supervisor included."""
        for run in self.runs:
            if not run.should_live:
                self._until(lambda run=run: run.has_ended, "a run that was to end goes on", run)
        ours = {run.popen.pid for run in self.runs if run.should_live}

        def devruns() -> list[psutil.Process]:
            found = [each for each in psutil.Process().children() if lives(each) and each.pid not in ours]
            return [each for each in found if _is_devrun(each)]

        self._until(lambda: not devruns(), "a supervisor without a keeper goes on", None)
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

    # Helpers.

    def _new_run(self, place: Place) -> Run:
        run = Run(place, len(self.runs), self.folder)
        self.runs.append(run)
        return run

    def _expects(self, run: Run) -> bool:
        return run.should_live and not run.has_ended

    def _let_it_notice(self, place: Place) -> None:
        """Wait for the end of a run that was hit: to start beside it in that moment is refused, rightly."""
        run = place.run
        if run is not None and run.is_unaware:
            self._until(lambda: run.has_ended, "a run without one of its services goes on", run)

    def _kill(self, place: Place, victims: Callable[[Run], list[psutil.Process | None]]) -> bool:
        run = place.run
        if run is None or not self._expects(run) or not run.is_ready() or run.supervisor is None:
            return False
        run.should_live = False
        with contextlib.suppress(psutil.NoSuchProcess):
            kill(*(each for each in victims(run) if each is not None))
        return True

    def _until(self, condition: Callable[[], bool], problem: str, run: Run | None) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                words = "" if run is None else f" (w{run.place.number}, pid {run.popen.pid})\n{run.tail()}"
                raise BrokenError(problem + words)
            time.sleep(0.01)

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


EVENTS = (
    *(World.start,) * 8,
    World.start_twice,
    World.start_killed,
    *(World.end,) * 3,
    World.down,
    World.kill_keeper,
    World.kill_supervisor,
    *(World.kill_both,) * 3,
    World.kill_service,
    World.kill_anchor,
    *(World.remove,) * 3,
    *(World.recreate,) * 4,
    World.move,
    *(World.sweep,) * 3,
)


def _is_devrun(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return PROGRAM in process.cmdline()
    return False


def play(seed: int, events: int, folder: str) -> tuple[World, str | None]:
    """Let `events` events happen; return the world and what broke, None when nothing did."""
    os.environ.update(
        GIT_ENVIRONMENT,
        DEVRUN_STATE_DIR=os.path.join(folder, "state"),
        XDG_RUNTIME_DIR=os.path.join(folder, "run"),
        HOME=folder,
    )
    os.mkdir(os.path.join(folder, "run"), 0o700)
    world = World(seed, folder)
    try:
        for _ in range(events):
            world.happen()
        world.sweep(world.places[0])
    except BrokenError as broken:
        return world, str(broken)
    finally:
        world.close()
    return world, None


def main() -> int:
    """Play the seeds; return 1 at the first that breaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--portable", action="store_true", help="without the helpers that only Linux has")
    options = parser.parse_args()
    become_subreaper()
    default_signals()
    if options.portable:
        os.environ["DEVRUN_PORTABLE"] = "1"
    failures = 0
    for seed in range(options.seed, options.seed + options.seeds):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
            world, problem = play(seed, options.events, folder)
        print(
            f"seed {seed}: {len(world.trace)} events, {len(world.runs)} starts, {time.monotonic() - began:.0f} s: "
            f"{problem or 'as it should be'}",
            flush=True,
        )
        if problem:
            failures += 1
            print("  " + "\n  ".join(world.trace[-25:]), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
