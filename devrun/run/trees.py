"""The process trees of a run: start one, stop one, clear what is left.

Each service is an `Instance`; stopping goes through the one decision (`cleanup.teardown`), driven
by the loop so that output is read while a service drains.  What happens is told as events.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from devrun.cleanup import CleanupReport, Readings, TreeRequest, teardown
from devrun.config.project import Service
from devrun.errors import reason_of
from devrun.model import Outcome, ProcessIdentity
from devrun.report.cleaning import left_line, step_line
from devrun.run.children import Children
from devrun.run.drive import Drive
from devrun.run.instance import Instance, launch
from devrun.run.life import events as ev
from devrun.run.life.events import Event
from devrun.run.loop import Loop
from devrun.run.plan import RunPlan
from devrun.run.tether import resize, terminal_size
from devrun.system import waiting
from devrun.system.control import send_to
from devrun.system.processes import has_ended
from devrun.system.spawn import SpawnError

ANCHOR_PATIENCE = 0.5
"""Seconds for a released anchor to end.  One that somebody stopped (SIGSTOP) would never; a longer
wait delays every such stop, a shorter one kills an anchor that merely had no CPU."""
CANNOT_START = 126


class Trees:
    """Every living instance of a run, and the stops under way."""

    def __init__(
        self,
        plan: RunPlan,
        loop: Loop,
        *,
        tell: Callable[[Event], None],
        feed: Callable[[str, str, bytes], None],
        say: Callable[[str], None],
    ) -> None:
        """`tell` takes events; `feed(service, stream, chunk)` takes output; `say` shows a line of devrun's own."""
        self._plan = plan
        self._loop = loop
        self._tell = tell
        self._feed = feed
        self._say = say
        self.children = Children()
        self._drives: dict[str, Drive[CleanupReport]] = {}
        self._hurry = False
        self._spared: set[ProcessIdentity] = set()
        self._readings = Readings()
        self.instances: dict[str, Instance] = {}
        self.stopped: list[str] = []
        self._survivors: set[ProcessIdentity] = set()

    @property
    def anchors(self) -> Mapping[str, ProcessIdentity]:
        """The session leader of each living service."""
        return {name: each.anchor for name, each in self.instances.items()}

    @property
    def survivors(self) -> int:
        """How many of those that a stop could not end are still there."""
        return sum(not has_ended(each) for each in self._survivors)

    def reap(self) -> None:
        """Wait for children that ended; wake anchors that were stopped (`kill -STOP 0`): only they tell of a main's end."""
        self.children.reap()
        stopped = set(iter(waiting.take_stopped_child, None))
        for anchor in self.anchors.values() if stopped else ():
            if anchor.pid in stopped:
                send_to(anchor, signal.SIGCONT)

    def start(self, service: Service, environment: Mapping[str, str]) -> None:
        """Start a service; tells Spawned, or SpawnFailed with the reason."""
        name = service.name
        try:
            instance = launch(
                service,
                environment,
                feed=lambda stream, chunk: self._feed(name, stream, chunk),
                size=terminal_size(1),
            )
        except SpawnError as error:
            self._tell(ev.SpawnFailed(name, f"cannot be started: {reason_of(error)}: `{error.filename}`", CANNOT_START))
            return
        except OSError as error:  # no descriptors, no processes left
            self._tell(ev.SpawnFailed(name, f"cannot be started: {reason_of(error)}", CANNOT_START))
            return
        started = self._loop.now()
        if instance.master is None:
            self._say(f"`{name}` has no terminal: there is no pty to be had, its input is /dev/null")
        self.instances[name] = instance
        self.children.keep(instance.anchor.pid)
        self.children.watch(instance.anchor.pid, lambda _status: self._on_anchor_gone(instance))
        instance.attach(self._loop, on_exit=lambda each: self._on_main_exit(each, started))
        self._tell(ev.Spawned(name))

    def stop(self, name: str, *, deadline: float) -> None:
        """Stop the whole tree of a service; tells TreeGone when it is gone (or never was)."""
        instance = self.instances.get(name)
        if instance is None:
            self._tell(ev.TreeGone(name))
        elif name not in self._drives:
            request = self._request({name: instance}, deadline=deadline, everything=False)
            self._drive(name, request, lambda report: self._on_cleared(instance, report))

    def clear(self, *, deadline: float, on_done: Callable[[], None]) -> None:
        """Stop whatever still descends from this process or carries the run's stamp."""

        def cleared(report: CleanupReport) -> None:
            self._count(report)
            on_done()

        self._drive("", self._request(self.instances, deadline=deadline, everything=True), cleared)

    def hurry(self) -> None:
        """Skip what is left of every grace."""
        self._hurry = True
        for drive in tuple(self._drives.values()):
            drive.advance()

    def resize(self) -> None:
        """Hand the size of devrun's terminal to the services' terminals."""
        for instance in self.instances.values():
            if instance.master is not None:
                resize(instance.master, terminal_size(1))

    def _request(self, instances: Mapping[str, Instance], *, deadline: float, everything: bool) -> TreeRequest:
        return TreeRequest(
            run=self._plan.id,
            state_dir=self._plan.state_path,
            worktree=self._plan.worktree.root,
            leaders={name: each.anchor for name, each in instances.items()},
            signals={name: int(each.service.stop.signal) for name, each in instances.items()},
            deadline=deadline,
            hurry=lambda: self._hurry,
            everything=everything,
            others=[each.anchor for name, each in self.instances.items() if name not in instances],
            readings=self._readings,
        )

    def _drive(self, key: str, request: TreeRequest, on_done: Callable[[CleanupReport], None]) -> None:
        def done(report: CleanupReport) -> None:
            del self._drives[key]
            on_done(report)

        self._drives[key] = Drive(self._loop, teardown(request), done)
        self._drives[key].advance()

    def _on_main_exit(self, instance: Instance, started: float) -> None:
        code = 0 if instance.exit_code is None else instance.exit_code
        self._tell(ev.MainExited(instance.name, code, uptime=self._loop.now() - started))

    def _on_cleared(self, instance: Instance, report: CleanupReport) -> None:
        """Let the anchor of an empty tree go, by force when it does not."""
        self._count(report)
        instance.let_go()
        if self.children.release(instance.anchor.pid):
            return

        def insist() -> None:
            send_to(instance.anchor, signal.SIGKILL)

        instance.on_finish = self._loop.call_later(ANCHOR_PATIENCE, insist).cancel

    def _on_anchor_gone(self, instance: Instance) -> None:
        instance.finish()
        if self.instances.get(instance.name) is instance:
            del self.instances[instance.name]
        self._tell(ev.TreeGone(instance.name))

    def _count(self, report: CleanupReport) -> None:
        """Note who was stopped; name who survived, and who was left, once."""
        for each in report.spared:
            if each.record.identity not in self._spared:
                self._spared.add(each.record.identity)
                self._say(left_line(each))
        for result in report.results:
            if result.outcome is Outcome.SURVIVED:
                self._survivors.add(result.step.record.identity)
                self._say(step_line(result.step, result))
            elif result.step.service is not None and result.step.service not in self.stopped:
                self.stopped.append(result.step.service)
