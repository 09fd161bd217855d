"""Let processes race for their first leases: 0 doubles, nobody refused.

    python -m benchmarks.ports_race [--processes 20] [--rounds 20] [--json]

In each round the state folder does not exist yet: the processes wait at a gate (a pipe that is
closed) and then make the folder, create the database and claim, all at once.  Half of them are
linked worktrees of one repository, a quarter of another, the rest main checkouts of their own,
which may share the plain numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

from devrun.config.project import Project, Service
from devrun.model import Worktree
from devrun.ports.ledger import claim
from devrun.state import open_state

SERVICES = {
    name: Service(name=name, command="x", working_dir="/", port=port)
    for name, port in (("web", 3000), ("api", 3001), ("docs", 3802))
}
PROJECT = Project(root="/", file="/services.yaml", services=SERVICES)


def racer(folder: str, number: int) -> Worktree:
    repository = f"{folder}/{'shop' if number % 2 else f'blog{number % 4}'}/.git"
    is_main = number % 4 == 0
    if is_main:
        repository = f"{folder}/own{number}/.git"
    identity = repository if is_main else f"{repository}/worktrees/w{number}"
    return Worktree(
        root=f"{folder}/w{number}", identity=identity, repository=repository, is_main=is_main, slug=f"w{number}"
    )


def race(folder: str, processes: int) -> tuple[list[list[int]], float]:
    """Return the shifted ports of every process, and the seconds the whole race took."""
    os.environ["DEVRUN_STATE_DIR"] = f"{folder}/state"
    gate, opener = os.pipe()
    answers, answer = os.pipe()
    children = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            run_child(folder, number, (gate, opener, answer))
        children.append(pid)
    os.close(gate)
    os.close(answer)
    begin = time.perf_counter()
    os.close(opener)
    failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
    seconds = time.perf_counter() - begin
    with os.fdopen(answers) as lines:
        found = [json.loads(line) for line in lines]
    if failed or len(found) != processes:
        sys.exit(f"{len(failed)} of {processes} processes failed")
    return found, seconds


def run_child(folder: str, number: int, pipes: tuple[int, int, int]) -> None:
    gate, opener, answer = pipes
    try:
        os.close(opener)
        os.read(gate, 1)
        with open_state() as state:
            ports = claim(state, racer(folder, number), PROJECT)
        shifted = [named[""] for named in ports.ports.values()] if ports.slot else []
        os.write(answer, (json.dumps(shifted) + "\n").encode())
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a forked child must not return
        os.write(2, f"{error}\n".encode())
        os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    doubles, slowest = 0, 0.0
    for _ in range(options.rounds):
        folder = tempfile.mkdtemp(prefix="devrun-race-")
        try:
            sets, seconds = race(folder, options.processes)
        finally:
            shutil.rmtree(folder)
        ports = [port for each in sets for port in each]
        doubles += len(ports) - len(set(ports))
        slowest = max(slowest, seconds)
    figures = {
        "processes": options.processes,
        "rounds": options.rounds,
        "doubles": doubles,
        "slowest round, ms": round(slowest * 1000, 1),
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name:20} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
