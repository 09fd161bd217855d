"""Time from Ctrl-C to everything gone, devrun beside other launchers, on one Procfile.

    python benchmarks/stop.py [--services 10] [--rounds 20] [--json]

Each service is a `sleep` that holds the write end of one FIFO: end-of-file on the read end says that all
of them are gone.  `services` is the time to that, `everything` the time until the launcher has
ended as well.  SIGINT goes to the launcher alone.  The launchers take turns; ratios are of medians, to honcho.
honcho is taken from devrun's own environment, foreman from PATH when it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

PATIENCE = 30.0


class Sample(NamedTuple):
    """Seconds from SIGINT."""

    services: float
    everything: float


def launchers() -> dict[str, list[str]]:
    """Return the command line of everybody who is installed."""
    here = os.path.dirname(sys.executable)
    found = {"honcho": [os.path.join(here, "honcho"), "start"], "devrun": [os.path.join(here, "devrun"), "up"]}
    foreman = shutil.which("foreman")
    return found if foreman is None else {**found, "foreman": [foreman, "start"]}


def measure(command: list[str], folder: str, services: int, environment: dict[str, str]) -> Sample:
    """Start a launcher, wait until all services run, interrupt it, wait for the end."""
    ready = os.open(os.path.join(folder, "ready"), os.O_RDONLY | os.O_NONBLOCK)
    alive = os.open(os.path.join(folder, "alive"), os.O_RDONLY | os.O_NONBLOCK)
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await(ready, b"." * services)
        time.sleep(0.3)  # the launcher has come to rest, too
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        if not select.select([alive], [], [], PATIENCE)[0]:
            raise SystemExit(f"{command[0]}: services were left")
        gone = time.monotonic() - began
        child.wait(PATIENCE)
        return Sample(gone, time.monotonic() - began)
    finally:
        child.kill()
        child.wait()
        os.close(ready)
        os.close(alive)


def _await(descriptor: int, wanted: bytes) -> None:
    until = time.monotonic() + PATIENCE
    seen = b""
    while len(seen) < len(wanted):
        if time.monotonic() > until:
            raise SystemExit(f"{len(seen)} of {len(wanted)} services are ready")
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                seen += os.read(descriptor, 65536)
            except BlockingIOError:
                continue
        if len(seen) < len(wanted):
            time.sleep(0.002)  # a FIFO that nobody writes to is always at its end


def run(services: int, rounds: int) -> dict[str, list[Sample]]:
    with tempfile.TemporaryDirectory(prefix="stop-") as folder:
        project = os.path.join(folder, "project")
        subprocess.run(["git", "init", "-q", project], check=True)
        os.chdir(project)
        for name in ("ready", "alive"):
            os.mkfifo(name)
        with open("Procfile", "w", encoding="utf-8") as file:
            line = "exec 9>alive; printf . >ready; exec sleep 3600"
            file.writelines(f"web{number}: {line}\n" for number in range(services))
        environment = {**os.environ, "DEVRUN_STATE_DIR": os.path.join(folder, "state")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its byte code
        samples: dict[str, list[Sample]] = {}
        for turn in range(rounds + 1):
            for name, command in launchers().items():
                sample = measure(command, project, services, environment)
                if turn:  # the first turn fills caches
                    samples.setdefault(name, []).append(sample)
        os.chdir("/")
        return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=10)
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
        print(f"{name:10} " + "   ".join(cells))


if __name__ == "__main__":
    main()
