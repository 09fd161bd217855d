"""What stands between the state machine and a start: the guard, and who really has the port."""

from __future__ import annotations

from msgspec.structs import replace

from devrun.cleanup import guard, target_of
from devrun.config.project import Service
from devrun.errors import DevrunError, reason_of
from devrun.model import PortSet, ProcessSnapshot
from devrun.run.instance import Instance
from devrun.run.life.events import GuardRefused, MainExited
from devrun.run.plan import RunPlan
from devrun.state import State
from devrun.system.processes import Column, read_details, read_snapshot
from devrun.system.sockets import listeners_on


class Gate:
    """Asks, before a start inside a live run, whether the way is clear; and after a failure, whether it was not."""

    def __init__(self, plan: RunPlan, state: State) -> None:
        self._plan = plan
        self._state = state

    def refusal(self, service: Service, ports: PortSet) -> GuardRefused | None:
        """Clear the way of a service that starts (again); return who is in it and stays, None when it is clear.

        Where that cannot be found out (a spoilt state folder, no descriptor left), this one service does not start.
        """
        try:
            report = guard(
                self._state,
                self._plan.worktree,
                [target_of(service, ports)],
                run=self._plan.id,
                settings=self._plan.project.sweep,
                grace=service.stop.timeout,
            )
        except DevrunError as error:
            return GuardRefused(service.name, error.message, error.exit_code)
        except OSError as error:
            return GuardRefused(service.name, f"nobody can tell who is in its way: {reason_of(error)}", code=1)
        message = report.services[0].message
        return None if message is None else GuardRefused(service.name, message)

    def with_holder(self, event: MainExited, service: Service, ports: PortSet, instance: Instance | None) -> MainExited:
        """Name the foreign process on the port of a service that failed: taken between guard and bind.

        Who cannot be told from the service's own tree is no stranger.
        """
        try:
            return self._with_holder(event, service, ports, instance)
        except OSError:  # no descriptor left to look with
            return event

    def _with_holder(
        self, event: MainExited, service: Service, ports: PortSet, instance: Instance | None
    ) -> MainExited:
        port = ports.port(service.name)
        if event.code == 0 or port is None or instance is None:
            return event
        listeners = listeners_on((port,))
        if not listeners:
            return event
        pids = {each.pid for each in listeners if each.pid is not None}
        snapshot = read_details(read_snapshot(), pids, Column.ARGV)
        own = tree_of(instance, snapshot)
        for pid in sorted(pids - own):
            record = snapshot.get(pid)
            if record is not None:
                return replace(event, holder=f"pid {pid} `{record.title}`")
        return event


def tree_of(instance: Instance, snapshot: ProcessSnapshot) -> frozenset[int]:
    """Return the pids of an instance's tree: the session of its anchor and whatever descends from it."""
    anchor = instance.anchor.pid
    return frozenset(record.pid for record in (*snapshot.session(anchor), *snapshot.descendants(anchor)))
