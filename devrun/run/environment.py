"""The environment of a service: what was inherited, what the files and devrun add, who it is.

Order, later wins: inherited < env_file < devrun's ports < the service's `environment` < the stamp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from devrun.config.project import Project, Service
from devrun.config.templates import TemplateFacts, expand_service
from devrun.model import STAMP_VARIABLES, PortSet, Stamp, Worktree
from devrun.ports.names import noted_bases, own_port_environment, port_environment, without_inherited

_STATE_DIR = "DEVRUN_STATE_DIR"


def stamp_environment(stamp: Stamp) -> dict[str, str]:
    """Return the variables that say which run, service, worktree and state folder a process is of."""
    return dict(zip(STAMP_VARIABLES, (stamp.run, stamp.service, stamp.worktree, stamp.state_dir), strict=True))


def common_environment(
    inherited: Mapping[str, str], project: Project, ports: PortSet, *, colour: bool = False
) -> dict[str, str]:
    """Return what every service of the worktree (and `run`, `env`, `exec`) sees.

    No stamp and no `PORT`, also not from a file: those belong to one service.  The caller's own
    DEVRUN_STATE_DIR stays: a devrun that the command calls has to find the same leases.  `colour` is
    whether a terminal shows the output: the services write to pipes and would turn their colours off.
    """
    environment = without_inherited(inherited, project.services)
    environment.update(project.env_files)
    environment.update(port_environment(project.services, ports))
    environment.update(noted_bases(project.services, inherited))
    for name in ("PORT", *STAMP_VARIABLES):
        environment.pop(name, None)
    if inherited.get(_STATE_DIR):
        environment[_STATE_DIR] = inherited[_STATE_DIR]
    environment.setdefault("PYTHONUNBUFFERED", "1")
    if colour and not environment.get("NO_COLOR"):
        environment.setdefault("FORCE_COLOR", "1")
        environment.setdefault("CLICOLOR_FORCE", "1")
    return environment


def prepare_services(
    services: Sequence[Service], common: Mapping[str, str], worktree: Worktree, ports: PortSet
) -> tuple[tuple[Service, ...], dict[str, dict[str, str]]]:
    """Expand the templates of `services`; return them with the complete environment of each.

    The stamp is still missing: it needs the id of a run (`stamp_environment`).
    """
    expanded: list[Service] = []
    environments: dict[str, dict[str, str]] = {}
    for service in services:
        environment = {**common, **own_port_environment(service, ports)}
        ready = expand_service(service, TemplateFacts(worktree=worktree, ports=ports, environment=environment))
        environment.update(ready.environment)
        environment["PWD"] = ready.working_dir
        environment.pop("OLDPWD", None)
        expanded.append(ready)
        environments[service.name] = environment
    return tuple(expanded), environments
