"""Log throughput: services that each write many lines, through a launcher, to a file and to a pipe.

    python -m benchmarks.log_throughput [--services 4] [--lines 500000] [--runs 3] [--only NAME…]

Each service is `cat` of a prepared file of 100-byte lines, numbered.  The floor is `cat | cat` for each of
them at once, to the same place; `tee` also keeps a copy, as devrun does.  `multiplexer` is devrun's output
alone: one process, real pipes, log files on.  Then `devrun up` and every peer on PATH.  The output is
checked: every line there once, whole, and in order within its service.  Best of the runs, ratios against
the floor.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.compare import environment_in
from devrun.run.output.logs import LogFolder, Stream
from devrun.run.output.multiplexer import Multiplexer, Source
from devrun.run.output.pipes import read_chunk

LINE = 100
TIMEOUT = 180
NUMBERED = re.compile(rb"(s\d) (\d{8}) x{87}")


class Setting(NamedTuple):
    """Where the services' files and the results are."""

    folder: str
    names: tuple[str, ...]
    lines: int


def prepare(folder: str, services: int, lines: int) -> Setting:
    names = tuple(f"s{number}" for number in range(services))
    for name in names:
        with open(os.path.join(folder, name), "w") as file:
            file.writelines(f"{name} {number:08d} {'x' * (LINE - 13)}\n" for number in range(lines))
    with open(os.path.join(folder, "Procfile"), "w") as file:
        file.writelines(f"{name}: cat {os.path.join(folder, name)}\n" for name in names)
    # A file of devrun's own: `essential: false`, so that the first to end does not stop the others.
    with open(os.path.join(folder, "services.yaml"), "w") as file:
        file.write("services:\n")
        file.writelines(
            f"  {name}: {{command: [cat, {os.path.join(folder, name)}], essential: false}}\n" for name in names
        )
    return Setting(folder, names, lines)


class Driver:
    """Drives the Multiplexer as the supervisor does, with stdout where it is."""

    def __init__(self, out: Multiplexer) -> None:
        self.out = out
        self.selector = selectors.DefaultSelector()
        self.sources: dict[int, Source] = {}
        self.paused = False
        self.watched = 0

    def add(self, name: str, pipe: int) -> None:
        self.sources[pipe] = self.out.add(name, Stream.STDOUT)
        self.selector.register(pipe, selectors.EVENT_READ)

    def run(self) -> None:
        while self.sources or self.out.wants_write:
            deadline = self.out.next_deadline()
            for key, _ in self.selector.select(None if deadline is None else max(0, deadline - time.monotonic())):
                if key.fd == self.out.fileno():
                    self.out.on_writable()
                else:
                    self.read(key.fd)
            self.out.tick()
            self.pause(wanted=self.out.is_congested)
            self.watch(self.out.events)

    def read(self, pipe: int) -> None:
        chunk = read_chunk(pipe)
        if chunk:
            self.out.feed(self.sources[pipe], chunk)
        elif chunk is not None:
            self.selector.unregister(pipe)
            self.out.end(self.sources.pop(pipe))

    def pause(self, *, wanted: bool) -> None:
        if wanted != self.paused:
            self.paused = wanted
            for pipe in self.sources:
                if wanted:
                    self.selector.unregister(pipe)
                else:
                    self.selector.register(pipe, selectors.EVENT_READ)

    def watch(self, events: int) -> None:
        descriptor = self.out.fileno()
        if descriptor is None or events == self.watched:
            return
        if self.watched:
            self.selector.unregister(descriptor)
        if events:
            self.selector.register(descriptor, events)
        self.watched = events


def multiplex(setting: Setting, logs: str) -> None:
    out = Multiplexer(setting.names, logs=LogFolder(logs))
    driver = Driver(out)
    children = []
    for name in setting.names:
        child = subprocess.Popen(["cat", os.path.join(setting.folder, name)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        children.append(child)
        driver.add(name, child.stdout.fileno())
    driver.run()
    for child in children:
        child.wait()
        child.communicate()
    out.close()


def run_cat(setting: Setting, stdout: int) -> None:
    words = [os.path.join(setting.folder, name) for name in setting.names]
    script = "".join(f"cat {path} | cat & " for path in words) + "wait"
    subprocess.run(["sh", "-c", script], stdout=stdout, check=True)


def run_tee(setting: Setting, stdout: int) -> None:
    logs = os.path.join(setting.folder, "logs")
    os.makedirs(logs)
    words = [f"cat {os.path.join(setting.folder, name)} | tee {os.path.join(logs, name)} & " for name in setting.names]
    subprocess.run(["sh", "-c", "".join(words) + "wait"], stdout=stdout, check=True)


def run_multiplexer(setting: Setting, stdout: int) -> None:
    logs = os.path.join(setting.folder, "logs")
    words = [
        sys.executable,
        "-m",
        "benchmarks.log_throughput",
        "--drive",
        logs,
        "--folder",
        setting.folder,
        "--services",
    ]
    subprocess.run([*words, str(len(setting.names))], stdout=stdout, check=True)


def run_command(*words: str) -> Callable[[Setting, int], None]:
    def run(setting: Setting, stdout: int) -> None:
        subprocess.run(
            words,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=setting.folder,
            env=environment_in(setting.folder),
            timeout=TIMEOUT,
            check=False,
        )

    return run


def contenders() -> dict[str, Callable[[Setting, int], None]]:
    found = {"cat": run_cat, "tee": run_tee, "multiplexer": run_multiplexer}
    beside = os.path.dirname(sys.executable)
    peers = {
        "devrun up": ("devrun", "up"),
        "hivemind": ("hivemind", "Procfile"),
        "process-compose": ("process-compose", "up", "-t=false"),
        "foreman": ("foreman", "start"),
        "honcho": ("honcho", "start"),
    }
    for name, (program, *words) in peers.items():
        path = shutil.which(program, path=f"{beside}{os.pathsep}{os.environ['PATH']}")
        if path is not None:
            found[name] = run_command(path, *words)
    return found


def check(setting: Setting, path: str) -> str:
    """Say what is wrong with an output: lines lost, torn or out of order."""
    expected = dict.fromkeys((name.encode() for name in setting.names), 0)
    disordered = 0
    with open(path, "rb") as file:
        for line in file:
            found = NUMBERED.search(line)
            if found is None:
                continue
            if int(found[2]) != expected[found[1]]:
                disordered += 1
            expected[found[1]] += 1
    lost = sum(setting.lines - count for count in expected.values())
    return "complete" if not lost and not disordered else f"{lost} lost or torn, {disordered} out of order"


def measure(
    setting: Setting, run: Callable[[Setting, int], None], *, to_pipe: bool, check_it: bool
) -> tuple[float, str]:
    """Run once; return seconds and the verdict on the output."""
    path = os.path.join(setting.folder, "out")
    with open(path, "wb") as file:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) if to_pipe else None
        started = time.monotonic()
        if reader is None:
            run(setting, file.fileno())
        else:
            assert reader.stdin is not None
            run(setting, reader.stdin.fileno())
            reader.stdin.close()
            reader.wait()
        seconds = time.monotonic() - started
    verdict = check(setting, path) if check_it else ""
    os.unlink(path)
    for kept in ("logs", "state"):
        shutil.rmtree(os.path.join(setting.folder, kept), ignore_errors=True)
    return seconds, verdict


def compare(setting: Setting, runs: int, only: list[str]) -> None:
    print(f"{len(setting.names)} services x {setting.lines} lines of {LINE} bytes, best of {runs}\n")
    print(f"{'':16} {'to a file':>10} {'x cat':>6}   {'to a pipe':>10} {'x cat':>6}   output")
    floors: dict[bool, float] = {}
    for name, run in contenders().items():
        if only and name not in {*only, "cat", "tee"}:
            continue
        cells = []
        verdict = ""
        for to_pipe in (False, True):
            try:
                results = [
                    measure(setting, run, to_pipe=to_pipe, check_it=number == 0 and name not in {"cat", "tee"})
                    for number in range(runs)
                ]
            except subprocess.TimeoutExpired:
                cells.append(f"over {TIMEOUT} s")
                break
            best = min(seconds for seconds, _ in results)
            floors.setdefault(to_pipe, best)
            cells.append(f"{best:8.2f} s {best / floors[to_pipe]:6.1f}")
            if verdict in {"", "complete"}:
                verdict = results[0][1]
        print(f"{name:16} {'   '.join(cells)}   {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        names = tuple(f"s{number}" for number in range(options.services))
        multiplex(Setting(options.folder, names, 0), options.drive)
        return
    with tempfile.TemporaryDirectory(prefix="devrun-throughput-") as folder:
        compare(prepare(folder, options.services, options.lines), options.runs, options.only)


if __name__ == "__main__":
    main()
