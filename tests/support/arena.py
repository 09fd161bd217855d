"""A worktree whose services are the shapes of the matrix, a launcher in it, and what is left of both.

Used by the tests of the matrix and by `benchmarks/leaks.py`, which puts other launchers in.  All
shapes run as services of one run.  Nothing here kills what a launcher leaves: that is the finding.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shlex
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import psutil

from tests.support.devrun import PROGRAM
from tests.support.processes import DEADLINE, Handshake, Reported, lives
from tests.support.repositories import Repository
from tests.support.shapes import COUNTS, MATRIX
from tests.support.terminal import Terminal

GRACE = 1.0  # of every service: what ignores TERM is killed then
GATE_CODE = 3
"""The exit code of the service that ends by itself."""


def free_base(count: int = 40) -> int:
    """Return a port from which on nobody listens now, below the ephemeral range."""
    while True:
        base = random.randrange(11000, 28000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count, 10):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return base


class Roll(Handshake):
    """A handshake that is looked at in passing, while a terminal is read."""

    def take(self) -> None:
        """Note who has reported meanwhile."""
        while select.select([self._ready], [], [], 0)[0]:
            self.wait(1)

    def is_empty(self) -> bool:
        """Whether nobody holds ALIVE any more, and all who reported have ended."""
        readable, _, _ = select.select([self._alive], [], [], 0)
        closed = bool(readable) and os.read(self._alive, 1) == b""
        return closed and not self.living()

    def by_shape(self) -> dict[str, list[Reported]]:
        """Return who of those that reported lives, by shape."""
        self.take()
        found: dict[str, list[Reported]] = {}
        for each in self.living():
            found.setdefault(each.shape, []).append(each)
        return found


class Arena:
    """A repository with two linked worktrees; the shapes are the services of the first."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        shapes: Collection[str] = tuple(MATRIX),
        *,
        grace: float = GRACE,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """`settings` adds keys to single services."""
        self.folder = os.fspath(folder)
        self.shapes = tuple(shapes)
        self.grace = grace
        self._settings = settings or {}
        self.base = free_base()
        self.roll = Roll(self.folder, "arena")
        self.gate = os.path.join(self.folder, "gate")
        os.mkfifo(self.gate)
        self.repository = Repository(os.path.join(self.folder, "repository"))
        self.root = self.repository.worktree("feature")
        self.other = self.repository.worktree("other")
        self.files(self.root)
        self.repository.write({"services.yaml": json.dumps({"services": {"one": {"command": "true"}}})}, self.other)
        self.terminals: list[Terminal] = []

    def files(self, root: str) -> None:
        """Write the configuration for devrun, for Procfile tools, and for npm."""
        plain = {name: self.roll.text(name) for name in self.shapes}
        services: dict[str, dict[str, Any]] = {
            name: {"command": text, "stop": {"timeout": self.grace}, **self._settings.get(name, {})}
            for name, text in plain.items()
        }
        if "listener" in services:
            services["listener"]["port"] = self.base
        gate = f"read _ < {shlex.quote(self.gate)}; exit {GATE_CODE}"
        services["gate"] = {"command": gate, "stop": {"timeout": self.grace}}
        lines = [f"{name}: {text}" for name, text in plain.items()] + [f"gate: sh -c {shlex.quote(gate)}"]
        scripts = {"dev": f"{shlex.quote(PROGRAM)} up"}
        self.repository.write(
            {
                "services.yaml": json.dumps({"services": services}),
                "Procfile": "\n".join(lines) + "\n",
                "package.json": json.dumps({"name": "arena", "private": True, "scripts": scripts}),
            },
            root,
        )

    @property
    def count(self) -> int:
        """How many processes report."""
        return sum(COUNTS[name] for name in self.shapes)

    def start(self, argv: Sequence[str] = (PROGRAM, "up"), **options: Any) -> Terminal:
        """Start a launcher at a terminal, in the worktree, and wait until every shape is ready."""
        shown = self.open(argv, **options)
        self.await_ready(shown)
        return shown

    def open(self, argv: Sequence[str] = (PROGRAM, "up"), **options: Any) -> Terminal:
        """Start a program at a terminal, in the worktree."""
        shown = Terminal(argv, **{"cwd": self.root, **options})
        self.terminals.append(shown)
        return shown

    def await_ready(self, shown: Terminal, count: int | None = None) -> None:
        """Wait until `count` more processes (all) have reported, reading the terminal meanwhile."""
        wanted = len(self.roll.reported) + (self.count if count is None else count)

        def reported() -> bool:
            self.roll.take()
            return len(self.roll.reported) >= wanted

        assert self.watch(reported, DEADLINE), f"{len(self.roll.reported)} of {wanted} reported:\n{shown.text[-4000:]}"

    def watch(self, condition: Callable[[], bool], limit: float) -> bool:
        """Read the terminals until the condition holds, at most `limit` seconds; return whether it does."""
        until = time.monotonic() + limit
        while not condition():
            if time.monotonic() >= until:
                return False
            read = [each.pump() for each in self.terminals if not each.closed]
            if not any(read):
                select.select([], [], [], 0.005)
        return True

    def await_end(self, shown: Terminal, limit: float = DEADLINE) -> int | None:
        """Wait until a launcher has ended; return its exit code, None when it has not."""
        self.watch(lambda: shown.popen.poll() is not None, limit)
        return shown.popen.poll()

    def await_empty(self, limit: float = DEADLINE) -> float | None:
        """Wait until nobody is left; return the seconds that took, None when somebody is."""
        began = time.monotonic()
        self.roll.take()
        return time.monotonic() - began if self.watch(self.roll.is_empty, limit) else None

    def open_gate(self) -> None:
        """Have the service `gate` end by itself."""
        with open(self.gate, "w", encoding="ascii") as gate:
            gate.write("\n")

    def close(self) -> None:
        """Hang up every terminal, and close the handshake."""
        for each in self.terminals:
            each.close()
        self.roll.close()


def default_signals() -> None:
    """Put back what nohup and `&` ignore: children inherit it, and a launcher may respect it."""
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_DFL)


def supervisor_of(keeper: psutil.Process) -> psutil.Process:
    """Return the supervisor: the keeper's only child."""
    (found,) = (each for each in keeper.children() if lives(each))
    return found


def kill(*processes: psutil.Process) -> None:
    """SIGKILL them at once: stopped first, so that none can act on the death of another.

    Parents come first in `processes`, and are killed last: their death wakes the supervisor.
    """
    for each in processes:
        each.send_signal(signal.SIGSTOP)
    for each in reversed(processes):
        each.kill()
