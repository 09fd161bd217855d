"""The services of a run with their complete environments and their ports; services may join while it lives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from devrun.config.project import Service
from devrun.model import PortSet, Stamp
from devrun.run.environment import stamp_environment
from devrun.run.plan import RunPlan
from devrun.worktrees.locate import root_now


class Roster:
    """Who belongs to the run, and what each is started with: its environment carries the stamp."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._root = plan.worktree.root
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

    def follow_worktree(self) -> None:
        """Have services start where the worktree stands now, when git has moved it since they joined."""
        before, now = self._root, root_now(self._plan.worktree.identity, self._root)
        if now == before or os.path.isdir(before):
            return
        self._root = now
        for name, service in self._services.items():
            if service.working_dir == before or service.working_dir.startswith(f"{before}/"):
                folder = now + service.working_dir.removeprefix(before)
                self._services[name] = replace(service, working_dir=folder)
                self._environments[name]["PWD"] = folder

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
