"""Add services to a live run."""

from __future__ import annotations

import os

from devrun.config.select import select_services
from devrun.model import PortSet, RunRecord
from devrun.run import protocol
from devrun.run.client import ask
from devrun.run.environment import common_environment, prepare_services
from devrun.run.protocol import Answer, Ask
from devrun.run.start import Request
from devrun.workspace import Workspace


def add_services(run: RunRecord, request: Request, workspace: Workspace, ports: PortSet, *, wait: bool) -> Answer:
    """Have a live run start those of the services asked for that it does not have, or that ended.

    They are read from today's configuration.  Services that run are left alone.  With `wait`, return
    when all that were asked for are ready; raises NotReadyError (124) at the request's time-out.
    """
    chosen = select_services(workspace.project, request.services, request.profiles)
    living = {each.name for each in ask(run, Ask(protocol.STATUS)).services if each.anchor is not None}
    missing = [service for service in chosen if service.name not in living]
    if missing:
        common = common_environment(os.environ, workspace.project, ports)
        services, environments = prepare_services(missing, common, workspace.worktree, ports)
        ask(run, Ask(protocol.ADD, services=services, environments=environments), timeout=request.ready_timeout)
    names = tuple(service.name for service in chosen)
    if wait:
        return ask(run, Ask(protocol.WAIT, names=names), timeout=request.ready_timeout)
    return ask(run, Ask(protocol.STATUS))
