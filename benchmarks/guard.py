"""Time `devrun guard` and `devrun sweep --dry-run` beside the shell scripts people write instead.

    python benchmarks/guard.py [--count 2000] [--orphans 60] [--rounds 5] [--json]

Starts `count` sleeping processes, `orphans` of them in a worktree that is then removed.  The guard is
timed on a free port and on one that a stale copy holds (dry run, so that it can be repeated), with and
without a `match`, whose search reads every command line.  The scripts ask lsof and ps the same
questions: who listens, what is its command and folder; who stands in a deleted folder.  Wall time of
the whole command, best of some rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

DEVRUN = [os.path.join(os.path.dirname(sys.executable), "devrun")]
GUARD_SCRIPT = """
for pid in $(lsof -nP -iTCP:{port} -sTCP:LISTEN -t); do
  ps -o ppid=,lstart=,command= -p $pid; lsof -a -p $pid -d cwd -Fn
done
ps -axo pid=,command= | grep '[m]int/start.js' || true
"""
SWEEP_SCRIPT = "lsof -nP -d cwd -Fpn | grep -B1 '(deleted)' || true; ps -axo pid=,ppid=,command= > /dev/null"


@contextlib.contextmanager
def crowd(folders: Sequence[str]) -> Iterator[None]:
    """Start a sleeping process in each folder."""
    children = []
    try:
        for folder in folders:
            children.append(subprocess.Popen(["sleep", "3600"], cwd=folder, stdin=subprocess.DEVNULL))  # noqa: PERF401
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def best(command: Sequence[str], rounds: int, **options: object) -> float:
    """Return the shortest wall time of some runs, in milliseconds."""
    shortest = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **options)  # type: ignore[call-overload]
        shortest = min(shortest, time.perf_counter() - began)
    return round(shortest * 1000, 1)


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


def measure(count: int, orphans: int, rounds: int) -> dict[str, float]:
    folder = os.path.realpath(tempfile.mkdtemp(prefix="devrun-guard-"))
    environment = {**os.environ, "DEVRUN_STATE_DIR": os.path.join(folder, "state")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    repository, worktree = make_repository(folder, port)
    figures: dict[str, float] = {}
    try:
        with crowd([worktree] * orphans + ["/"] * (count - orphans)):
            subprocess.run(["git", "worktree", "remove", "--force", worktree], cwd=repository, check=True)
            options = {"cwd": repository, "env": environment}
            figures["python -c pass"] = best([sys.executable, "-c", "pass"], rounds)
            for name in ("free", "held"):
                code = f"import socket; s = [socket.create_server(('127.0.0.1', {port} + n)) for n in (1, 0)]; input()"
                holder = (
                    subprocess.Popen([sys.executable, "-c", code], cwd=repository, stdin=subprocess.PIPE)
                    if name == "held"
                    else None
                )
                try:
                    if holder is not None:
                        while socket.socket().connect_ex(("127.0.0.1", port)):
                            time.sleep(0.01)
                    figures[f"devrun guard, {name}"] = best([*DEVRUN, "guard", "web", "-n"], rounds, **options)
                    figures[f"devrun guard with match, {name}"] = best(
                        [*DEVRUN, "guard", "docs", "-n"], rounds, **options
                    )
                    if shutil.which("lsof"):
                        figures[f"script, {name}"] = best(["sh", "-c", GUARD_SCRIPT.format(port=port)], rounds)
                finally:
                    if holder is not None:
                        holder.communicate(b"\n")
            figures["devrun sweep --dry-run"] = best([*DEVRUN, "sweep", "-n"], rounds, **options)
            if shutil.which("lsof"):
                figures["script, sweep"] = best(["sh", "-c", SWEEP_SCRIPT], rounds)
    finally:
        shutil.rmtree(folder)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--orphans", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.count, options.orphans, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:8.1f} ms")


if __name__ == "__main__":
    main()
