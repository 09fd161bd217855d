"""What an idle run costs: wake-ups, processor time and memory of devrun's own processes.

    python -m benchmarks.idle [--services 10] [--seconds 30] [--json]

Starts silent services (`sleep`) under `devrun up` and, one after the other, under the launchers it is
compared with, lets them come to rest, and watches the launcher's own processes for some seconds.
Wake-ups are voluntary context switches (/proc/PID/status): each is one time that the process was woken
and went to sleep again.  PSS is the memory a process adds to the machine: its own pages, and its share of
those it has in common with others (/proc/PID/smaps_rollup).  The shells devrun keeps as session leaders
are shown by themselves.  Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time

from benchmarks.compare import enter_project, launchers

TICKS = os.sysconf("SC_CLK_TCK")
REST = 3.0


def read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def below(pid: int) -> list[int]:
    """Return the pids of a process and all that descend from it."""
    children = [
        int(each) for task in os.listdir(f"/proc/{pid}/task") for each in read(pid, f"task/{task}/children").split()
    ]
    return [pid, *(found for child in children for found in below(child))]


def switches(pid: int) -> int:
    return sum(
        int(line.split()[1])
        for task in os.listdir(f"/proc/{pid}/task")
        for line in read(pid, f"task/{task}/status").splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def cpu(pid: int) -> float:
    fields = read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss(pid: int) -> float:
    """Return the proportional set size in MB."""
    return next(
        int(line.split()[1]) / 1024 for line in read(pid, "smaps_rollup").splitlines() if line.startswith("Pss:")
    )


def kind(pid: int) -> str:
    """Tell the launcher's own processes from its shells and from the services."""
    name = read(pid, "comm").strip()
    return {"sleep": "services", "sh": "shells", "dash": "shells"}.get(name, "launcher")


def measure(command: list[str], seconds: float, environment: dict[str, str]) -> dict[str, float]:
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(REST)
        pids = below(child.pid)
        own = [pid for pid in pids if kind(pid) == "launcher"]
        shells = [pid for pid in pids if kind(pid) == "shells"]
        before = sum(map(switches, own + shells)), sum(map(cpu, own + shells))
        time.sleep(seconds)
        after = sum(map(switches, own + shells)), sum(map(cpu, own + shells))
        return {
            "services": sum(kind(pid) == "services" for pid in pids),
            "processes": len(own),
            "wake-ups/s": (after[0] - before[0]) / seconds,
            "cpu %": 100 * (after[1] - before[1]) / seconds,
            "PSS MB": sum(map(pss, own)),
            "shells": len(shells),
            "shells' PSS MB": sum(map(pss, shells)),
        }
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idle-") as folder:
        environment = enter_project(folder, [f"web{number}: exec sleep 3600" for number in range(options.services)])
        table = {name: measure(command, options.seconds, environment) for name, command in launchers().items()}
        os.chdir("/")
    if options.json:
        print(json.dumps({"seconds": options.seconds, "launchers": table}))
        return
    print(f"{options.services} silent services, {options.seconds:g} s")
    for name, row in table.items():
        print(f"{name:8} " + "   ".join(f"{key} {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
