"""Time `devrun guard` and `devrun sweep --dry-run` beside the shell scripts people write instead.

    python -m benchmarks.guard [--count 2000] [--orphans 60] [--rounds 5] [--json]

Starts `count` sleeping processes, `orphans` of them in a worktree that is then removed.  The guard is
timed on a free port and on one that a stale copy holds (dry run, so that it can be repeated), with and
without a `match`, whose search reads every command line.  The scripts ask lsof and ps the same
questions: who listens, what is its command and folder; who stands in a deleted folder.  Wall time of
the whole command, and processor time (steadier on a busy machine), best of some rounds that the
commands take in turns, in milliseconds.  Last, once each: a real sweep of the orphans, and of as many
that ignore TERM, which share one grace of five seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.compare import environment_in

DEVRUN = [os.path.join(os.path.dirname(sys.executable), "devrun")]
GUARD_SCRIPT = """
for pid in $(lsof -nP -iTCP:{port} -sTCP:LISTEN -t); do
  ps -o ppid=,lstart=,command= -p $pid; lsof -a -p $pid -d cwd -Fn
done
ps -axo pid=,command= | grep '[m]int/start.js' || true
"""
SWEEP_SCRIPT = "lsof -nP -d cwd -Fpn | grep -B1 '(deleted)' || true; ps -axo pid=,ppid=,command= > /dev/null"


@contextlib.contextmanager
def crowd(command: Sequence[str], folders: Sequence[str]) -> Iterator[None]:
    """Start a process in each folder."""
    children = []
    try:
        for folder in folders:
            children.append(subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL))  # noqa: PERF401
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


class Figure(NamedTuple):
    """Milliseconds of a whole command."""

    wall: float
    cpu: float


def spent(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> Figure:
    """Run a command once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Figure(wall * 1000, cpu * 1000)


def best(
    commands: Mapping[str, Sequence[str]], rounds: int, folder: str, environment: Mapping[str, str]
) -> dict[str, Figure]:
    """Run the commands in turns; return the shortest times of each."""
    found: dict[str, list[Figure]] = {name: [] for name in commands}
    for _ in range(rounds + 1):  # the first round fills caches, and is as slow as it is
        for name, command in commands.items():
            found[name].append(spent(command, folder, environment))
    return {name: Figure(*map(min, zip(*figures, strict=True))) for name, figures in found.items()}


def make_repository(folder: str, port: int) -> tuple[str, str]:
    """Make a repository with a services.yaml, and a linked worktree in it."""
    repository, worktree = os.path.join(folder, "repo"), os.path.join(folder, "repo", ".worktrees", "a")
    os.makedirs(repository)
    with open(os.path.join(repository, "services.yaml"), "w", encoding="utf-8") as file:
        file.write(f"services:\n  web: {{command: x, port: {port}}}\n")
        file.write(f"  docs: {{command: x, port: {port + 1}, match: mint/start.js}}\n")
    quiet = {"cwd": repository, "stdout": subprocess.DEVNULL}
    subprocess.run(["git", "init", "-q"], check=True, **quiet)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True, **quiet)
    subprocess.run(["git", "worktree", "add", "-q", worktree], check=True, **quiet)
    return repository, worktree


def measure(count: int, orphans: int, rounds: int) -> dict[str, Figure]:
    folder = os.path.realpath(tempfile.mkdtemp(prefix="devrun-guard-"))
    environment = environment_in(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    repository, worktree = make_repository(folder, port)
    # Told apart from a person's `sleep` and `sh`: only a development runtime is swept.
    runtime, stubborn = os.path.join(folder, "node"), os.path.join(folder, "bun")
    shutil.copy(shutil.which("sleep") or "", runtime)
    shutil.copy("/bin/sh", stubborn)
    figures: dict[str, Figure] = {}
    try:
        with crowd(["sleep", "3600"], ["/"] * (count - orphans)), crowd([runtime, "3600"], [worktree] * orphans):
            remove_worktree(repository, worktree)
            guards = {
                "python -c pass": [sys.executable, "-c", "pass"],
                "devrun guard": [*DEVRUN, "guard", "web", "-n"],
                "devrun guard with match": [*DEVRUN, "guard", "docs", "-n"],
                "script": ["sh", "-c", GUARD_SCRIPT.format(port=port)],
            }
            for name in ("free", "held"):
                with holder(port, repository) if name == "held" else contextlib.nullcontext():
                    found = best(guards, rounds, repository, environment)
                figures |= {f"{command}, {name}": figure for command, figure in found.items()}
            sweeps = {"devrun sweep --dry-run": [*DEVRUN, "sweep", "-n"], "script, sweep": ["sh", "-c", SWEEP_SCRIPT]}
            figures |= best(sweeps, rounds, repository, environment)
            figures[f"devrun sweep of {orphans}"] = spent([*DEVRUN, "sweep"], repository, environment)
        subprocess.run(["git", "worktree", "add", "-q", worktree], check=True, cwd=repository)
        with crowd([stubborn, "-c", f"trap '' TERM; while :; do {runtime} 3600; done"], [worktree] * orphans):
            remove_worktree(repository, worktree)
            figures[f"devrun sweep of {orphans} stubborn"] = spent([*DEVRUN, "sweep"], repository, environment)
    finally:
        shutil.rmtree(folder)
    return figures


def remove_worktree(repository: str, worktree: str) -> None:
    subprocess.run(["git", "worktree", "remove", "--force", worktree], cwd=repository, check=True)


@contextlib.contextmanager
def holder(port: int, folder: str) -> Iterator[None]:
    """Hold a port and the next one."""
    code = f"import socket; s = [socket.create_server(('127.0.0.1', {port} + n)) for n in (1, 0)]; input()"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE)
    try:
        while True:
            with socket.socket() as trial:
                if not trial.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.01)
        yield
    finally:
        child.communicate(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--orphans", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("lsof") is None:
        raise SystemExit("lsof is not installed")
    figures = measure(options.count, options.orphans, options.rounds)
    if options.json:
        print(json.dumps({name: figure._asdict() for name, figure in figures.items()}))
        return
    print(f"{'':34} {'wall':>9} {'cpu':>9}   × script")
    for name, figure in figures.items():
        script = figures["script, sweep" if "sweep" in name else f"script, {name.rpartition(' ')[2]}"]
        ratios = f"{figure.wall / script.wall:6.2f} {figure.cpu / script.cpu:6.2f}" if " of " not in name else ""
        print(f"{name:34} {figure.wall:9.1f} {figure.cpu:9.1f}   {ratios}")


if __name__ == "__main__":
    main()
