"""SIGKILL a process at random instants while it claims and gives back leases: nothing lost, nothing torn.

    python -m benchmarks.ports_kill [--kills 1000] [--json]

A child opens the state, then claims, releases, publishes and ends runs and writes to the journal as
fast as it can, telling each finished step on a pipe.  It is killed after a random time between 0 and
25 ms, at times before the database exists.  After every kill: the database is sound, every lease that
was acknowledged is there, none that was given back is, no port is on two leases; at most the one step
that was not acknowledged may have happened or not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import tempfile
import time

from devrun.config.project import Project, Service
from devrun.errors import DevrunError
from devrun.model import ProcessIdentity, RunRecord, Worktree
from devrun.ports.ledger import claim, release
from devrun.state import State, open_state
from devrun.state.database import open_readable
from devrun.state.journal import JournalRow

SERVICES = {
    name: Service(name=name, command="x", working_dir="/", port=port)
    for name, port in (("web", 3000), ("api", 3001), ("docs", 3802))
}
PROJECT = Project(root="/", file="/services.yaml", services=SERVICES)
MOST_ALIVE = 60
LONGEST = 0.025


def worktree(folder: str, number: int) -> Worktree:
    repository = f"{folder}/repo/.git"
    return Worktree(
        root=f"{folder}/w{number}",
        identity=f"{repository}/worktrees/w{number}",
        repository=repository,
        is_main=False,
        slug=f"w{number}",
    )


def work(folder: str, answer: int, number: int, known: list[int]) -> None:
    """Claim and release until killed; each finished step is one line: `+12` or `-12`."""
    chance = random.Random(number)
    with open_state() as state:
        while True:
            if len(known) < MOST_ALIVE and chance.random() < 0.6:
                number += 1
                os.write(answer, f"?{number}\n".encode())
                claim(state, worktree(folder, number), PROJECT)
                os.write(answer, f"+{number}\n".encode())
                known.append(number)
            elif known:
                victim = known.pop(chance.randrange(len(known)))
                lease = state.leases.get(worktree(folder, victim).identity)
                if lease is not None:
                    os.write(answer, f"?{victim}\n".encode())
                    release(state, [lease])
                    os.write(answer, f"-{victim}\n".encode())
            keep_books(state, number)


def keep_books(state: State, number: int) -> None:
    """Write what a run writes, too."""
    nobody = ProcessIdentity(2**22, 1)
    run = RunRecord(
        id=f"run{number % 20}",
        worktree="/",
        worktree_identity="/",
        keeper=nobody,
        supervisor=nobody,
        boot_id="-",
        started_at=time.time(),
    )
    state.runs.publish(run)
    state.runs.end(run.id, exit_code=0)
    state.journal.record([JournalRow(verb="benchmark", pid=number)])


def one_kill(folder: str, number: int, known: set[int], wait: float) -> tuple[set[int], set[int], int]:
    """Run and kill one child; return the leases acknowledged, those in doubt, and the highest number."""
    answers, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        try:
            work(folder, answer, number, sorted(known))
        finally:
            os._exit(1)
    os.close(answer)
    select.select([], [], [], wait)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    alive, doubtful = set(known), set()
    with os.fdopen(answers) as lines:
        for line in lines:
            name = int(line[1:])
            number = max(number, name)
            if line[0] == "?":
                doubtful = {name}
            else:
                doubtful = set()
                (alive.add if line[0] == "+" else alive.discard)(name)
    return alive, doubtful, number


def inspect(folder: str, alive: set[int], doubtful: set[int]) -> tuple[dict[str, int], set[int]]:
    """Compare the state with what was acknowledged; return the faults and the leases really there."""
    faults = {"unreadable": 0, "corrupt": 0, "lost": 0, "doubled": 0, "revived": 0}
    try:
        with open_state(create=False) as state:
            leases = state.leases.all()
            state.runs.all()
            state.journal.history(limit=5)
        database = open_readable(f"{folder}/state")
        faults["corrupt"] = int(database.query("PRAGMA integrity_check") != [("ok",)])
        rows = database.query("SELECT count(*), count(DISTINCT port) FROM lease_ports WHERE shifted")
        orphans = database.query("SELECT count(*) FROM lease_ports WHERE identity NOT IN (SELECT identity FROM leases)")
        database.close()
    except DevrunError as error:
        print(error.message)
        return {**faults, "unreadable": 1}, alive
    there = {int(lease.slug[1:]) for lease in leases}
    slots = [lease.slot for lease in leases]
    faults["doubled"] = rows[0][0] - rows[0][1] + len(slots) - len(set(slots)) + orphans[0][0]
    faults["lost"] = len(alive - there - doubtful)
    faults["revived"] = len(there - alive - doubtful)
    return faults, there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chance = random.Random(1000)
    total = {"kills": options.kills, "steps": 0}
    folder, known, number = "", set[int](), 0
    try:
        for kill in range(options.kills):
            if kill % 50 == 0:  # now and then from nothing: creation is killed, too
                shutil.rmtree(folder, ignore_errors=True)
                folder, known, number = tempfile.mkdtemp(prefix="devrun-kill-"), set(), kill * 10_000
                os.environ["DEVRUN_STATE_DIR"] = f"{folder}/state"
            before = number
            alive, doubtful, number = one_kill(folder, number, known, chance.uniform(0, LONGEST))
            faults, known = inspect(folder, alive, doubtful)
            total["steps"] += number - before
            for name, count in faults.items():
                total[name] = total.get(name, 0) + count
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(total) if options.json else "\n".join(f"{name:12} {value}" for name, value in total.items()))


if __name__ == "__main__":
    main()
