"""Fill the ledger of ports, over and over: 0 collisions, a clear refusal when it is full, fast answers.

    python -m benchmarks.ports_scale [--claims 10000] [--json]

Claims leases for a main checkout and linked worktrees of ten repositories (bases 3000, 3001, 3802,
stride 10) until no more fit, checks that the next one is refused with exit code 3, then gives leases
back and claims new ones at random until that many claims were made.  After every claim the set of
ports is compared with every other alive.  Then times a known lease, and opening the state with it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time

from devrun.config.project import Project, Service
from devrun.errors import PortConflictError
from devrun.model import PortSet, Worktree
from devrun.ports.ledger import claim, release
from devrun.state import State, open_state

BASES = {"web": 3000, "api": 3001, "docs": 3802}


def project() -> Project:
    services = {name: Service(name=name, command="x", working_dir="/", port=port) for name, port in BASES.items()}
    return Project(root="/", file="/services.yaml", services=services)


def worktree(folder: str, number: int) -> Worktree:
    """Return worktree number n; 0 is the main checkout of the first repository."""
    repository = f"{folder}/repo{number % 10}/.git"
    identity = repository if number == 0 else f"{repository}/worktrees/w{number}"
    root = f"{folder}/w{number}"
    return Worktree(root=root, identity=identity, repository=repository, is_main=number == 0, slug=f"w{number}")


class Alive:
    """Every lease that is alive, by worktree, and who has which port."""

    def __init__(self) -> None:
        self.sets: dict[int, PortSet] = {}
        self.owners: dict[int, int] = {}
        self.collisions = 0

    def add(self, number: int, ports: PortSet) -> None:
        self.sets[number] = ports
        for named in ports.ports.values():
            self.collisions += self.owners.setdefault(named[""], number) != number

    def remove(self, number: int) -> None:
        for named in self.sets.pop(number).ports.values():
            del self.owners[named[""]]


def fill(state: State, folder: str, wanted: Project, alive: Alive) -> PortConflictError:
    number = len(alive.sets)
    while True:
        try:
            alive.add(number, claim(state, worktree(folder, number), wanted))
        except PortConflictError as error:
            return error
        number += 1


def churn(state: State, folder: str, wanted: Project, alive: Alive, claims: int) -> None:
    chance = random.Random(20)
    number = 100_000
    for _ in range(claims):
        victim = chance.choice([each for each in alive.sets if each])
        lease = state.leases.get(worktree(folder, victim).identity)
        assert lease is not None
        assert release(state, [lease])
        alive.remove(victim)
        alive.add(number, claim(state, worktree(folder, number), wanted))
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="devrun-ports-")
    os.environ["DEVRUN_STATE_DIR"] = f"{folder}/state"
    try:
        figures = measure(folder, options.claims)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value}")


def measure(folder: str, claims: int) -> dict[str, object]:
    wanted, alive = project(), Alive()
    with open_state() as state:
        begin = time.perf_counter()
        refusal = fill(state, folder, wanted, alive)
        filled = time.perf_counter() - begin
        count = len(alive.sets)
        begin = time.perf_counter()
        churn(state, folder, wanted, alive, claims - count)
        churned = time.perf_counter() - begin
        begin = time.perf_counter()
        for _ in range(1000):
            claim(state, worktree(folder, 0), wanted)
        known = (time.perf_counter() - begin) / 1000
        stored = {each.identity: each.ports for each in state.leases.all()}
    agreed = stored == {worktree(folder, number).identity: ports for number, ports in alive.sets.items()}
    begin = time.perf_counter()
    with open_state() as state:
        claim(state, worktree(folder, 0), wanted)
    opened = time.perf_counter() - begin
    return {
        "claims": claims,
        "alive at once": count,
        "collisions": alive.collisions,
        "ledger says the same": agreed,
        "the next one": f"exit {refusal.exit_code}: {refusal.message.replace(folder, '…')}; hint: {refusal.hint}",
        "ms a claim while filling": round(filled / count * 1000, 3),
        "ms a release + claim when full": round(churned / max(1, claims - count) * 1000, 3),
        "ms a known lease, in-process": round(known * 1000, 4),
        "ms open + known lease + close": round(opened * 1000, 3),
    }


if __name__ == "__main__":
    main()
