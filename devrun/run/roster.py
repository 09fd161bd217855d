"""The services of a run with their complete environments and their ports; services may join while it lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devrun.config.project import Service
from devrun.model import PortSet, Stamp
from devrun.run.environment import stamp_environment
from devrun.run.plan import RunPlan


class Roster:
    """Who belongs to the run, and what each is started with: its environment carries the stamp."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._services: dict[str, Service] = {}
        self._environments: dict[str, dict[str, str]] = {}
        self._ports: dict[str, PortSet] = {}
        self.admit(plan.services, plan.environments, plan.ports)

    def admit(
        self, services: Iterable[Service], environments: Mapping[str, Mapping[str, str]], ports: PortSet | None
    ) -> None:
        """Take services in, or take them as they are configured now; the next start uses it.

        Without `ports` (of a client of another version) they are those that the run began with.
        """
        for service in services:
            stamp = Stamp(self._plan.id, service.name, self._plan.worktree.root, self._plan.state_path)
            self._services[service.name] = service
            self._ports[service.name] = ports or self._plan.ports
            self._environments[service.name] = {**environments[service.name], **stamp_environment(stamp)}

    def service(self, name: str) -> Service:
        """Return a service of the run."""
        return self._services[name]

    def environment(self, name: str) -> Mapping[str, str]:
        """Return the complete environment of a service."""
        return self._environments[name]

    def ports(self, name: str) -> PortSet:
        """Return the ports that a service has: the configuration may have changed since the run began."""
        return self._ports[name]

    @property
    def grace(self) -> float:
        """The longest time any service of the run may take to end, in seconds."""
        return max((service.stop.timeout for service in self._services.values()), default=0.0)
