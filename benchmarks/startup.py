"""Time from exec to the first byte of a service, devrun beside other launchers, on one Procfile.

    python benchmarks/startup.py [--services 1] [--rounds 20] [--json]

Two moments are taken: `service`, when the service itself writes into a pipe of its own, and `shown`,
when its line arrives on the launcher's stdout (a pipe).  `cpu` is the processor time of the launcher and its
children from exec to the end, the stop included: steadier than the wall on a busy machine.  The
launchers take turns, so that a slow moment of the machine hits all of them; ratios are of medians to honcho.
honcho is taken from devrun's own environment, foreman from PATH when it is there.
`devrun up` does its sweep of the machine, its guard and its lease all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

MARK = b"first-byte"
PATIENCE = 10.0
REST = 0.3  # honcho that is interrupted while it starts several services leaves some of them behind


class Sample(NamedTuple):
    """Seconds from exec."""

    service: float
    shown: float
    cpu: float


def launchers() -> dict[str, list[str]]:
    """Return the command line of everybody who is installed."""
    here = os.path.dirname(sys.executable)
    found = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "honcho": [os.path.join(here, "honcho"), "start"],
        "devrun": [os.path.join(here, "devrun"), "up"],
    }
    foreman = shutil.which("foreman")
    if foreman is not None:
        found["foreman"] = [foreman, "start"]
    return {name: command for name, command in found.items() if os.path.exists(command[0])}


def write_project(folder: str, services: int) -> None:
    """Make a git repository with a Procfile; each service writes to descriptor 9's FIFO and to stdout."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    os.mkfifo(os.path.join(folder, "first"))
    with open(os.path.join(folder, "Procfile"), "w", encoding="utf-8") as file:
        file.write(f"web0: echo . >first; echo {MARK.decode()}; exec sleep 3600\n")
        file.writelines(f"web{number}: exec sleep 3600\n" for number in range(1, services))


def measure(command: list[str], folder: str, environment: dict[str, str]) -> Sample:
    """Start a launcher, take the moments, end it with Ctrl-C's signal."""
    fifo = os.open(os.path.join(folder, "first"), os.O_RDONLY | os.O_NONBLOCK)
    reader, writer = os.pipe()
    began = time.monotonic()
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)],
    )
    os.close(writer)
    service = shown = 0.0
    try:
        if "pass" not in command:
            service = _until(fifo, b".", began)
            shown = _until(reader, MARK, began)
            time.sleep(REST)
    finally:
        if "pass" not in command:
            os.kill(pid, signal.SIGINT)
        said = _drain(reader)
        _, _, usage = os.wait4(pid, 0)
        os.close(fifo)
        os.close(reader)
    ended = time.monotonic() - began
    if "pass" not in command and not shown:
        raise SystemExit(f"{command[0]} started nothing: {said!r}")
    return Sample(service or ended, shown or ended, usage.ru_utime + usage.ru_stime)


def _until(descriptor: int, wanted: bytes, began: float) -> float:
    """Return when the descriptor has said it, 0 when it does not."""
    seen = b""
    os.set_blocking(descriptor, False)
    while time.monotonic() - began < PATIENCE:
        with contextlib.suppress(BlockingIOError):
            seen += os.read(descriptor, 65536)
        if wanted in seen:
            return time.monotonic() - began
        time.sleep(0.0002)
    return 0.0


def _drain(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    seen = b""
    while chunk := os.read(descriptor, 65536):
        seen += chunk
    return seen


def run(services: int, rounds: int) -> dict[str, list[Sample]]:
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        project = os.path.join(folder, "project")
        write_project(project, services)
        os.chdir(project)
        environment = {**os.environ, "DEVRUN_STATE_DIR": os.path.join(folder, "state")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its byte code
        samples: dict[str, list[Sample]] = {}
        for turn in range(rounds + 1):
            for name, command in launchers().items():
                sample = measure(command, project, environment)
                if turn:  # the first turn fills caches and writes byte code
                    samples.setdefault(name, []).append(sample)
        os.chdir("/")
        return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples = run(options.services, options.rounds)
    table = {
        name: {
            field: {
                "median": statistics.median(getattr(each, field) for each in found) * 1000,
                "best": min(getattr(each, field) for each in found) * 1000,
            }
            for field in Sample._fields
        }
        for name, found in samples.items()
    }
    if options.json:
        print(json.dumps({"services": options.services, "rounds": options.rounds, "milliseconds": table}))
        return
    print(f"{options.services} services, {options.rounds} rounds; ms, median (best); × honcho, by median")
    for name, row in table.items():
        cells = [
            f"{field} {each['median']:6.1f} ({each['best']:6.1f}) {each['median'] / table['honcho'][field]['median']:5.2f} ×"
            for field, each in row.items()
        ]
        print(f"{name:15} " + "   ".join(cells))


if __name__ == "__main__":
    main()
