"""Join a live run: find out what it lacks of the services asked for, and have it start those."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from devrun.config.project import Service
from devrun.config.select import instances, select_services
from devrun.errors import DevrunError, NotReadyError
from devrun.model import PortSet, RunRecord
from devrun.run.environment import common_environment, prepare_services
from devrun.run.life.events import FINAL_PHASES
from devrun.run.plan import STOP_MARGIN, RunResult
from devrun.run.start import Request
from devrun.run.talk import protocol
from devrun.run.talk.client import ask
from devrun.run.talk.lateness import explain_late
from devrun.run.talk.protocol import Answer, Ask
from devrun.state import open_state
from devrun.workspace import Workspace

_ENDED = frozenset(phase.value for phase in FINAL_PHASES)


class Wanted(NamedTuple):
    """The services asked of a live run, in start order, and those of them that it does not have now."""

    run: RunRecord
    workspace: Workspace
    chosen: tuple[Service, ...]
    missing: tuple[Service, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that were asked for."""
        return tuple(service.name for service in self.chosen)

    @property
    def grace(self) -> float:
        """The longest time that one of them may take to end."""
        return max((service.stop.timeout for service in self.chosen), default=0.0)

    @property
    def missing_names(self) -> tuple[str, ...]:
        """The names of those that have to be started."""
        return tuple(service.name for service in self.missing)


def find_wanted(run: RunRecord, request: Request, workspace: Workspace) -> Wanted:
    """Compare the services asked for with those of a live run.

    One that has completed (a migration) is not started again, unless it was named.
    """
    chosen = select_services(workspace.project, request.services, request.profiles)
    named = {each.name for name in request.services for each in instances(name, workspace.project.services)}
    status = {each.name: each for each in ask(run, Ask(protocol.STATUS)).services}
    missing = []
    for service in chosen:
        each = status.get(service.name)
        completed = each is not None and each.state == "exited" and service.name not in named
        if each is None or (each.state in _ENDED and not completed):
            missing.append(service)
    return Wanted(run, workspace, chosen, tuple(missing))


class Addition:
    """Whether services that were added to a run stay there."""

    stays = False


@contextlib.contextmanager
def undone(wanted: Wanted) -> Iterator[Addition]:
    """Stop what was missing again, unless it is said that it stays; also when the waiting is interrupted."""
    addition = Addition()
    try:
        yield addition
    finally:
        if not addition.stays and wanted.missing:
            with contextlib.suppress(DevrunError):  # what went wrong before is what people have to hear
                ask(wanted.run, Ask(protocol.STOP, names=wanted.missing_names), timeout=wanted.grace + STOP_MARGIN)


def add_services(wanted: Wanted, ports: PortSet, *, wait: bool, timeout: float | None) -> Answer | RunResult:
    """Have a live run start what it lacks, as today's configuration says; services that run are left alone.

    With `wait`, return when all that were asked for are ready or have failed; a RunResult says who is
    not after `timeout` seconds.
    """
    try:
        return _add_services(wanted, ports, wait=wait, timeout=timeout)
    except NotReadyError:
        if timeout is None:
            raise
        with open_state(create=False) as state:
            return explain_late(state, wanted.run, wanted.names, timeout)


def _add_services(wanted: Wanted, ports: PortSet, *, wait: bool, timeout: float | None) -> Answer:
    if wanted.missing:
        workspace = wanted.workspace
        common = common_environment(os.environ, workspace.project, ports)
        services, environments = prepare_services(wanted.missing, common, workspace.worktree, ports)
        texts, raw = protocol.split_environments(environments)
        addition = Ask(protocol.ADD, services=services, environments=texts, raw=raw, ports=ports, waits=wait)
        answer = ask(wanted.run, addition, timeout=timeout)
        if not wait or answer.code:
            return answer
    return ask(wanted.run, Ask(protocol.WAIT, names=wanted.names) if wait else Ask(protocol.STATUS), timeout=timeout)
