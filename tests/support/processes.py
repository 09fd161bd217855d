"""Real process trees by handshake: pids are read, ends are waited for, nothing is guessed.

`Handshake` is the pair of FIFOs that `shapes.py` reports through; use it for shapes that run *as
services of devrun*.  `Processes` starts shapes and Python one-liners directly and always kills and
waits at the end.  What devrun leaves behind is never cleaned here: that is the leak guard's finding.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psutil

from tests.support import shapes

DEADLINE = 30.0  # for presence: returns at once when it happens, so it may be generous
# For absence: how long nothing may happen before a test believes that it never will.  The only
# time a test may sleep.  Smaller: a late event slips through.  Larger: every such test is slower.
ABSENCE_WINDOW = 0.5

SHAPES_FILE = os.path.abspath(shapes.__file__)
_PRELUDE = """\
import json, os, signal, socket, sys, time
def ready(**facts):
    os.write(READY, (json.dumps({"pid": os.getpid(), **facts}) + "\\n").encode())
def rest():
    while True: signal.pause()
signal.signal(signal.SIGINT, signal.SIG_DFL)
"""


class Reported(NamedTuple):
    """One process that said it is ready.  `process` is None when it ended before it was looked at."""

    shape: str
    role: str
    pid: int
    port: int | None
    process: psutil.Process | None


def lives(process: psutil.Process | None) -> bool:
    """Tell whether exactly this process runs (not a successor, not a zombie)."""
    with contextlib.suppress(psutil.Error):
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_gone(processes: Iterable[psutil.Process | None], timeout: float = DEADLINE) -> list[psutil.Process]:
    """Wait until all have ended (zombies have); return the survivors at the deadline."""
    deadline = time.monotonic() + timeout
    left = [process for process in processes if lives(process)]
    for process in left:
        _wait_one(process, deadline)
    return [process for process in left if lives(process)]


def _wait_one(process: psutil.Process, deadline: float) -> None:
    try:
        fd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        return
    try:
        if lives(process):
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(fd)


def nothing_happens() -> None:
    """Let the absence window pass."""
    time.sleep(ABSENCE_WINDOW)


def wait_until(condition: Any, what: str, timeout: float = DEADLINE) -> Any:
    """Poll for a presence that has no event to wait on; return the first true value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        select.select([], [], [], 0.01)
    return value


class Handshake:
    """The FIFOs of one or more shapes: who is ready, and when the last one has gone."""

    def __init__(self, folder: str | os.PathLike[str], name: str = "shapes") -> None:
        base = os.path.join(os.fspath(folder), name)
        self.ready_path, self.alive_path = f"{base}.ready", f"{base}.alive"
        os.mkfifo(self.ready_path)
        os.mkfifo(self.alive_path)
        self._ready = os.open(self.ready_path, os.O_RDONLY | os.O_NONBLOCK)
        self._ready_kept = os.open(self.ready_path, os.O_WRONLY)  # no end-of-file between two writers
        self._alive = os.open(self.alive_path, os.O_RDONLY | os.O_NONBLOCK)
        self._pending = b""
        self.reported: list[Reported] = []

    def argv(self, shape: str, *options: str) -> list[str]:
        """Return the words that run `shape` and report here."""
        paths = [shape, self.ready_path, "--alive", self.alive_path]
        return [sys.executable, "-I", SHAPES_FILE, *paths, *options]

    def text(self, shape: str, *options: str) -> str:
        """Return the same for a shell, a Procfile or a `command:` of services.yaml."""
        return shlex.join(self.argv(shape, *options))

    def wait(self, count: int, timeout: float = DEADLINE) -> list[Reported]:
        """Wait until `count` more processes have reported; return them in order of arrival."""
        found: list[Reported] = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._ready], [], [], max(0.0, left))
            assert readable, f"{len(found)} of {count} processes reported within {timeout} s: {found}"
            self._pending += os.read(self._ready, 65536)
            *lines, self._pending = self._pending.split(b"\n")
            found += [_reported(json.loads(line)) for line in lines]
        self.reported += found
        return found

    def wait_shapes(self, *names: str, timeout: float = DEADLINE) -> list[Reported]:
        """Wait until every process of the shapes named has reported."""
        return self.wait(sum(shapes.COUNTS[name] for name in names), timeout)

    def wait_gone(self, timeout: float = DEADLINE) -> bool:
        """Wait until nobody holds the write end of ALIVE (and those reported have exited)."""
        readable, _, _ = select.select([self._alive], [], [], timeout)
        closed = bool(readable) and os.read(self._alive, 1) == b""
        # The kernel closes files a moment before the process is dead: wait for the exit itself.
        return closed and not wait_gone((each.process for each in self.reported), timeout)

    def living(self) -> list[Reported]:
        """Return those reported so far that still run."""
        return [each for each in self.reported if lives(each.process)]

    def close(self) -> None:
        """Close the FIFOs; shapes that report later do so to nobody."""
        for fd in (self._ready, self._ready_kept, self._alive):
            os.close(fd)


def _reported(facts: dict[str, Any]) -> Reported:
    process = None
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(facts["pid"])
    return Reported(facts["shape"], facts["role"], facts["pid"], facts["port"], process)


class Child(NamedTuple):
    """A Python one-liner that said it is ready, with what it said."""

    popen: subprocess.Popen[bytes]
    process: psutil.Process
    facts: dict[str, Any]

    @property
    def pid(self) -> int:
        return self.popen.pid


class ShapeTree(NamedTuple):
    """A shape started directly: its main process and everybody who reported."""

    popen: subprocess.Popen[bytes]
    handshake: Handshake
    reported: list[Reported]

    def role(self, name: str) -> Reported:
        """Return the member that reported under this role."""
        return next(each for each in self.reported if each.role == name)


class Processes:
    """Starts processes for a test, and ends them all when the test is over."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._handshakes: list[Handshake] = []
        self._popens: list[subprocess.Popen[bytes]] = []

    def handshake(self) -> Handshake:
        """Return a new handshake, for shapes that somebody else starts."""
        made = Handshake(self._folder, f"hs{len(self._handshakes)}")
        self._handshakes.append(made)
        return made

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command and remember it."""
        made = subprocess.Popen(argv, **{"stdin": subprocess.DEVNULL, **options})
        self._popens.append(made)
        return made

    def shape(self, shape: str, *options: str, **popen: Any) -> ShapeTree:
        """Start a shape and wait until all of it is ready.  Its output goes nowhere by default."""
        handshake = self.handshake()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        made = self.popen(handshake.argv(shape, *options), **{**quiet, **popen})
        return ShapeTree(made, handshake, handshake.wait_shapes(shape))

    def python(self, code: str, *arguments: str, **popen: Any) -> Child:
        """Run a Python one-liner and wait until it calls `ready(**facts)`.

        In scope: `ready`, `rest` (live until a signal), os, signal, socket, sys, time, json.
        """
        reader, writer = os.pipe()
        program = f"READY = {writer}\n{_PRELUDE}{code}"
        try:
            made = self.popen([sys.executable, "-I", "-c", program, *arguments], pass_fds=[writer], **popen)
        finally:
            os.close(writer)
        process = psutil.Process(made.pid)
        with os.fdopen(reader, "rb") as answers:
            readable, _, _ = select.select([answers], [], [], DEADLINE)
            line = answers.readline() if readable else b""
        assert line, f"the child never became ready: {code!r}"
        return Child(made, process, json.loads(line))

    def close(self) -> None:
        """Kill everything that was started directly, by identity, and wait for it."""
        roots = {psutil.Process(each.pid) for each in self._popens if each.poll() is None}
        # A handshake may have been lent to services of devrun: those are not ours to clean.
        own = {each.pid for each in self._popens}
        for _ in range(10):
            # Parents first: one that sees its child end before itself may start another, for somebody else to adopt.
            members = [each for root in roots if lives(root) for each in (root, *root.children(recursive=True))]
            if not members:
                break
            for member in members:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            wait_gone(members)
        for handshake in self._handshakes:
            if any(each.pid in own for each in handshake.reported):
                self._kill_reported(handshake)
            handshake.close()
        for each in self._popens:
            each.wait(DEADLINE)
            for stream in (each.stdin, each.stdout, each.stderr):
                if stream is not None:
                    stream.close()

    def _kill_reported(self, handshake: Handshake) -> None:
        for each in handshake.living():
            with contextlib.suppress(psutil.Error):
                each.process.kill()
        wait_gone(each.process for each in handshake.reported)
