"""Time the decision alone: generated process tables, a share of them guilty.

    python -m benchmarks.decide [--counts 100 1000 10000] [--guilty 60] [--rounds 5] [--json]

For each size: a sweep in which `guilty` processes stand in gone worktrees, and a guard with a port and
a `match`.  Every dear fact is filled in for everybody, which is more than a survey ever reads.  Best of
some rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import time

from devrun.decide.classify import decide
from devrun.decide.context import Context, Target
from devrun.model import (
    Cwd,
    FileId,
    Folder,
    Listener,
    ProcessEnvironment,
    ProcessIdentity,
    ProcessRecord,
    ProcessSnapshot,
    Situation,
    Surroundings,
    Worktree,
)

GONE = Surroundings("/r/.worktrees/a", Folder.DELETED, "/r/.worktrees/a", None, "/r/.git", live=False, known=True)
HERE = Surroundings("/r", Folder.PRESENT, "/r", "/r/.git", "/r/.git", live=True, has_checkout=True)
WORKTREE = Worktree(root="/r", identity="/r/.git", repository="/r/.git", is_main=True, slug="main")


def a_record(pid: int) -> ProcessRecord:
    return ProcessRecord(
        identity=ProcessIdentity(pid, pid),
        ppid=1 if pid % 3 else max(1, pid - 1),
        pgid=pid,
        sid=pid,
        tty=0,
        uid=1000,
        state="S",
        name="node",
        started_at=1.0,
        argv=("node", "/r/node_modules/.bin/next", "dev", "--port", str(pid)),
        exe="/usr/bin/node",
        script="/r/node_modules/next/dist/bin/next",
        cwd=Cwd("/r", deleted=False, file_id=FileId(1, 1)),
        environment=ProcessEnvironment(pwd="/r"),
    )


def a_context(count: int, guilty: int, situation: Situation) -> Context:
    """Generate a world; the last record is ourselves."""
    records = [a_record(pid) for pid in range(10, 10 + count)]
    listeners = [Listener(3000, "::", record.pid) for record in records[:5]]
    snapshot = ProcessSnapshot(records, self_pid=records[-1].pid, boot_id="boot", listeners=listeners)
    place = GONE if situation is Situation.SWEEP else HERE
    step = max(1, count // guilty)
    return Context(
        situation=situation,
        snapshot=snapshot,
        uid=1000,
        state_dir="/state",
        runs={},
        surroundings={record.identity: place for record in records[:-2:step]},
        worktree=None if situation is Situation.SWEEP else WORKTREE,
        target=None if situation is Situation.SWEEP else Target("web", frozenset({3000}), "next dev --port 10"),
    )


def best(count: int, guilty: int, situation: Situation, rounds: int) -> float:
    shortest = float("inf")
    for _ in range(rounds):
        context = a_context(count, guilty, situation)
        began = time.perf_counter()
        plan = decide(context)
        shortest = min(shortest, time.perf_counter() - began)
        if plan.is_empty:
            raise SystemExit("the generated world has nobody to stop")
    return round(shortest * 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--guilty", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {
        f"{situation.value}, {count} processes": best(count, min(options.guilty, count), situation, options.rounds)
        for count in options.counts
        for situation in (Situation.SWEEP, Situation.GUARD)
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:8.2f} ms")


if __name__ == "__main__":
    main()
