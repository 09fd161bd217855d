"""Random events over eight worktrees; at rest exactly the processes of the living runs are there.

    python -m benchmarks.chaos [--seed 1] [--events 200] [--portable] [--seeds 10]

What may happen is in `events`, what has to hold afterwards in `world`.  Exit 1 and the events so far when
it does not.  Linux: this program adopts what is orphaned below it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

from benchmarks.chaos.events import happen, sweep
from benchmarks.chaos.world import BrokenError, World
from tests.support.arena import default_signals
from tests.support.leak_guard import become_subreaper
from tests.support.repositories import GIT_ENVIRONMENT


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
            happen(world)
        sweep(world, world.places[0])
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
