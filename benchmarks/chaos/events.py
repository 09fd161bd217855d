"""What can happen to a worktree and its run: one function an event, and how often each is drawn.

A function returns whether the event was possible; where it was not, nothing has happened.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess

from benchmarks.chaos.world import BrokenError, Place, World
from tests.support.devrun import PROGRAM

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def happen(world: World) -> None:
    """Let one event happen that is possible now."""
    happened = False
    while not happened:
        place = world.random.choice(world.places)
        event = world.random.choice(EVENTS)
        world.trace.append(f"{event.__name__} w{place.number}")
        happened = event(world, place)
        if not happened:
            del world.trace[-1]


def start(world: World, place: Place) -> bool:
    """`up`; beside a live run it is refused."""
    if not place.there:
        return False
    world.let_it_notice(place)
    before = place.expected
    run = world.new_run(place)
    if before is not None:
        world.until(lambda: run.has_ended or before.has_ended, "a second start was not refused", run)
        if run.has_ended and not before.has_ended:
            run.should_live = False
            if run.popen.returncode != 3:
                raise BrokenError(f"a second start ended with {run.popen.returncode}\n{run.tail()}")
            return True
    place.run = run
    world.until(lambda: run.is_ready() or run.has_ended, "a start never got ready", run)
    if run.has_ended:
        raise BrokenError(f"a start of w{place.number} ended with {run.popen.returncode}\n{run.tail()}")
    return True


def start_twice(world: World, place: Place) -> bool:
    """Two starts at once: one lives."""
    if not place.there or place.expected is not None:
        return False
    world.let_it_notice(place)
    pair = [world.new_run(place), world.new_run(place)]
    world.until(lambda: any(each.has_ended for each in pair), "two starts went on", pair[0])
    for each in pair:
        each.should_live = not each.has_ended
    winner = next((each for each in pair if each.should_live), None)
    if winner is None:
        raise BrokenError(f"two starts at once: neither lives\n{pair[0].tail()}\n{pair[1].tail()}")
    place.run = winner
    world.until(lambda: winner.is_ready() or winner.has_ended, "the winner never got ready", winner)
    return True


def start_killed(world: World, place: Place) -> bool:
    """Kill the keeper of a start somewhere on its way."""
    if not place.there or place.expected is not None:
        return False
    run = world.new_run(place)
    run.should_live = False
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.popen.wait(world.random.random() * 0.4)
    run.popen.kill()
    run.popen.wait()
    return True


def end(world: World, place: Place) -> bool:
    """Send a signal to the keeper."""
    run = place.expected
    if run is None:
        return False
    run.popen.send_signal(world.random.choice(SIGNALS))
    run.should_live = False
    return True


def down(world: World, place: Place) -> bool:
    """`devrun down`."""
    run = place.expected
    if run is None or not place.there:
        return False
    done = subprocess.run([PROGRAM, "down"], cwd=place.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokenError(f"down ended with {done.returncode}: {done.stderr}")
    run.should_live = False
    world.until(lambda: run.has_ended, "a run goes on after `down`", run)
    return True


def kill_keeper(world: World, place: Place) -> bool:
    """SIGKILL of the keeper."""
    return world.hit(place, lambda run: [run.keeper])


def kill_supervisor(world: World, place: Place) -> bool:
    """SIGKILL of the supervisor."""
    return world.hit(place, lambda run: [run.supervisor])


def kill_both(world: World, place: Place) -> bool:
    """SIGKILL of both at once."""
    return world.hit(place, lambda run: [run.keeper, run.supervisor])


def kill_service(world: World, place: Place) -> bool:
    """SIGKILL of one process of the services; the run ends when it was a main one."""
    run = place.expected
    if run is None:
        return False
    mains = [each for each in run.roll.living() if each.role in {"main", "sh"}]
    run.is_unaware = bool(mains) and world.hit(place, lambda _run: [world.random.choice(mains).process])
    return run.is_unaware


def kill_anchor(world: World, place: Place) -> bool:
    """SIGKILL of an anchor."""
    run = place.expected
    if run is None or run.supervisor is None:
        return False
    anchors = [each for each in run.supervisor.children() if " ".join(each.cmdline()).startswith("/bin/sh -c trap")]
    run.is_unaware = bool(anchors) and world.hit(place, lambda _run: [world.random.choice(anchors)])
    return run.is_unaware


def remove(world: World, place: Place) -> bool:
    """Remove the worktree: by git, by rm, or to the trash of a tool."""
    if not place.there or place.number == 0:
        return False
    how = world.random.choice(("git", "rm", "trash"))
    world.trace[-1] += f" by {how}"
    if how == "git":
        world.repository.remove(place.root)
    elif how == "rm":
        shutil.rmtree(place.root)
    else:
        trash = os.path.join(world.repository.path, ".git", "wt", "trash", f"w{place.number}-{len(world.trace)}")
        os.makedirs(os.path.dirname(trash), exist_ok=True)
        os.rename(place.root, trash)
    place.there = False
    if place.run is not None:
        place.run.should_live = False
    return True


def recreate(world: World, place: Place) -> bool:
    """Make a removed worktree again, at the same path."""
    if place.there:
        return False
    world.repository.git("worktree", "prune")
    world.repository.git("worktree", "add", "-q", "--force", place.root, f"w{place.number}")
    place.there = True
    world.furnish(place)
    return True


def move(world: World, place: Place) -> bool:
    """Git moves the worktree; a run of it goes on."""
    if not place.there or place.number == 0:
        return False
    target = f"{place.root}x"
    world.repository.git("worktree", "move", place.root, target)
    place.root = target
    return True


def sweep(world: World, _place: Place) -> bool:
    """Wait for rest, sweep from some worktree, and look."""
    world.rest()
    where = world.random.choice([each for each in world.places if each.there])
    done = subprocess.run(
        [PROGRAM, "sweep"], cwd=where.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BrokenError(f"sweep ended with {done.returncode}: {done.stderr}")
    world.check()
    return True


EVENTS = (
    *(start,) * 8,
    start_twice,
    start_killed,
    *(end,) * 3,
    down,
    kill_keeper,
    kill_supervisor,
    *(kill_both,) * 3,
    kill_service,
    kill_anchor,
    *(remove,) * 3,
    *(recreate,) * 4,
    move,
    *(sweep,) * 3,
)
