"""Readiness in the supervisor's loop: build the probe a service asks for, poll it, tell the answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

from devrun.config.httptarget import parse_target
from devrun.config.project import ReadyKind, Service
from devrun.errors import ConfigError
from devrun.model import Listener
from devrun.run.anchor import SHELL
from devrun.run.children import Children
from devrun.run.gate import tree_of
from devrun.run.instance import Instance
from devrun.run.life import events as ev
from devrun.run.life.events import Event
from devrun.run.loop import Loop, Timer
from devrun.run.ready.httpprobe import HttpProbe
from devrun.run.ready.readiness import CommandProbe, Failed, LogProbe, Ok, Ownership, PortProbe, Probe
from devrun.system.control import send_to
from devrun.system.processes import Column, identify, read_details, read_snapshot
from devrun.system.sockets import listeners_on, read_listeners
from devrun.system.spawn import Spawn, spawn

FIRST_INTERVAL = 0.02
LONGEST_INTERVAL = 0.25
"""Seconds between two questions: quick at first, because most servers start within a second, and
slower then, because a cold build takes a minute and ought to have the CPU for itself."""


class Awaited:
    """A probe under way for one service; the answer is told as an event."""

    def __init__(self, name: str, probe: Probe, *, timeout: float, loop: Loop, tell: Callable[[Event], None]) -> None:
        """`timeout` is in seconds from now."""
        self._name = name
        self._probe = probe
        self._timeout = timeout
        self._deadline = loop.now() + timeout
        self._interval = FIRST_INTERVAL
        self._loop = loop
        self._tell = tell
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Ask once, and again later while the answer is pending."""
        now = self._loop.now()
        answer = self._probe.check(now)
        if isinstance(answer, Ok):
            self.cancel()
            self._tell(ev.BecameReady(self._name))
        elif isinstance(answer, Failed):
            self.cancel()
            self._tell(ev.ReadyFailed(self._name, answer.message, answer.code))
        elif now >= self._deadline:
            awaited = self._probe.describe()
            self.cancel()
            self._tell(ev.ReadyFailed(self._name, f"not ready after {self._timeout:g} s, waiting for {awaited}"))
        else:
            self._timer = self._loop.call_at(min(now + self._interval, self._deadline), self.ask)
            self._interval = min(self._interval * 1.5, LONGEST_INTERVAL)

    def feed(self, stream: str, chunk: bytes) -> None:
        """Hand output to a probe that reads it."""
        if isinstance(self._probe, LogProbe):
            self._probe.feed(chunk, stream)

    def cancel(self) -> None:
        """Stop asking; again does nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._probe.close()


def make_probe(service: Service, instance: Instance, environment: Mapping[str, str], children: Children) -> Probe:
    """Return the probe that `ready` asks for; a service without one is never asked."""
    ready = service.ready
    if ready.kind is ReadyKind.LOG:
        return LogProbe(str(ready.target))
    if ready.kind is ReadyKind.COMMAND:
        text = ready.target if isinstance(ready.target, str) else " ".join(ready.target)
        return CommandProbe(lambda: ReadyCommand(service, environment, children), text)
    if ready.kind is ReadyKind.HTTP:
        target = parse_target(str(ready.target), None)
        return HttpProbe(target, _ownership(target.port, instance))
    if not ready.target:
        raise ConfigError(f"`{service.name}` has no port to wait for", hint="`ready: {log: …}` or `{command: …}`")
    return PortProbe(_ownership(int(str(ready.target)), instance))


def _ownership(port: int, instance: Instance) -> Ownership:
    def tree() -> frozenset[int]:
        return tree_of(instance, read_snapshot())

    return Ownership(port, _listening, tree, name=_describe, everybody=read_listeners)


class ReadyCommand:
    """One run of a readiness command, in a session of its own, with the service's environment."""

    def __init__(self, service: Service, environment: Mapping[str, str], children: Children) -> None:
        """Start it.  Raises OSError when that fails."""
        target = service.ready.target
        null = os.open(os.devnull, os.O_RDWR)
        try:
            pid = spawn(
                Spawn(
                    argv=(SHELL, "-c", target)
                    if isinstance(target, str)
                    else (SHELL, "-c", 'exec "$@"', SHELL, *target),
                    cwd=service.working_dir,
                    environment=environment,
                    descriptors={0: null, 1: null, 2: null},
                )
            )
        finally:
            os.close(null)
        self._status: int | None = None
        self._identity = identify(pid)
        children.watch(pid, self._ended)

    def _ended(self, status: int) -> None:
        self._status = status

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._status

    def kill(self) -> None:
        """Kill it; what it started carries the stamp and goes with the run."""
        if self._identity is not None and self._status is None:
            send_to(self._identity, signal.SIGKILL)


def _listening(port: int) -> tuple[Listener, ...] | None:
    return listeners_on((port,))


def _describe(pid: int) -> str:
    record = read_details(read_snapshot(), [pid], Column.ARGV).get(pid)
    return f"pid {pid}" if record is None else f"pid {pid} `{record.title}`"
