"""Time the reading of the process table beside the programs a shell script would use.

    python -m benchmarks.snapshot [--counts 100 1000 2000] [--rounds 5] [--json]

Starts that many sleeping processes, one in a hundred of them with a listening socket, and prints the
best of some rounds in milliseconds: the cheap snapshot; the dear columns, one by one and together,
for all of these processes; the listeners; and `lsof` and `ps` side by side in the same run when they
are installed.  The portable backend (psutil) is timed as well.
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
import time
from collections.abc import Callable, Iterator

from devrun.system import sockets
from devrun.system.processes import Column, read_details, read_snapshot


@contextlib.contextmanager
def crowd(count: int) -> Iterator[list[int]]:
    """Start `count` processes; one in a hundred inherits a listening socket."""
    children = []
    with contextlib.ExitStack() as stack:
        try:
            for number in range(count):
                kept = []
                if number % 100 == 0:
                    kept = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).fileno()]
                children.append(subprocess.Popen(["sleep", "3600"], pass_fds=kept, stdin=subprocess.DEVNULL))
            stack.close()  # the children alone hold the sockets
            yield [child.pid for child in children]
        finally:
            for child in children:
                child.kill()
            for child in children:
                child.wait()


def best(work: Callable[[], object], rounds: int) -> float:
    """Return the shortest of some runs, in milliseconds."""
    shortest = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - began)
    return round(shortest * 1000, 1)


def output_of(*command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def measure(pids: list[int], rounds: int) -> dict[str, float]:
    snapshot = read_snapshot()
    listeners = sockets.read_listeners() or ()
    held = {row.port: row.pid for row in listeners if row.pid in set(pids)}
    holders = [pid for pid in held.values() if pid is not None]
    figures = {"snapshot": best(read_snapshot, rounds)}
    for columns in (Column.CWD, Column.ARGV, Column.CWD | Column.ARGV, Column.ALL):
        name = f"snapshot with {(columns.name or 'all').lower()}"
        figures[name] = best(lambda columns=columns: read_snapshot(columns=columns), rounds)  # type: ignore[misc]
    for column in (Column.CWD, Column.ARGV, Column.ENVIRONMENT, Column.NAMESPACES, Column.ALL):
        name = f"details {(column.name or 'all').lower()}"
        figures[name] = best(lambda column=column: read_details(snapshot, pids, column), rounds)  # type: ignore[misc]
    figures["listeners, all"] = best(sockets.read_listeners, rounds)
    figures["listeners on held ports"] = best(lambda: sockets.listeners_on(held), rounds)
    figures["listeners on held ports, holders known"] = best(lambda: sockets.listeners_on(held, holders), rounds)
    figures["listeners on a free port"] = best(lambda: sockets.listeners_on([1]), rounds)
    for command in (("lsof", "-nP", "-iTCP", "-sTCP:LISTEN"), ("lsof", "-d", "cwd"), ("ps", "-axo", "pid,ppid,args")):
        if shutil.which(command[0]):
            figures[" ".join(command)] = best(output_of(*command), min(rounds, 3))
    os.environ["DEVRUN_PORTABLE"] = "1"
    figures["portable: snapshot"] = best(read_snapshot, 1)
    figures["portable: details all"] = best(lambda: read_details(snapshot, pids), 1)
    del os.environ["DEVRUN_PORTABLE"]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table: dict[int, dict[str, float]] = {}
    for count in options.counts:
        with crowd(count) as pids:
            table[count] = measure(pids, options.rounds)
    if options.json:
        print(json.dumps(table))
        return 0
    print(f"{'milliseconds, best of ' + str(options.rounds):44}" + "".join(f"{count:>10}" for count in options.counts))
    for name in table[options.counts[0]]:
        print(f"{name:44}" + "".join(f"{table[count][name]:>10}" for count in options.counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
