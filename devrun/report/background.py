"""What `up -d`, `wait` and `exec` say of services in the background: rows, and why a start failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from devrun.errors import DevrunError
from devrun.model import PortSet
from devrun.ports.names import url_of
from devrun.report.answers import StartedRow, Up
from devrun.report.console import Output
from devrun.run.plan import RunResult
from devrun.run.talk.protocol import Answer, ServiceStatus


def started_data(status: Literal["started", "already_running"], run: str, answer: Answer, ports: PortSet) -> Up:
    """Return what `up -d` answers."""
    return Up(status=status, run=run, services=started_rows(answer.services, ports))


def started_rows(services: Iterable[ServiceStatus], ports: PortSet) -> tuple[StartedRow, ...]:
    """Return the services of a run with their ports."""
    return tuple(
        StartedRow(
            name=each.name,
            state=each.state,  # type: ignore[arg-type]  # the supervisor's phases are these words
            port=(port := each.ports_beside(ports).get("")),
            url=None if port is None else url_of(port),
            ready=each.ready,
        )
        for each in services
    )


def failed_lines(answer: Answer) -> Iterator[str]:
    """Yield why services are not there, in a run that goes on without them."""
    for each in answer.services:
        if each.is_lost:
            yield each.loss


def failure_of(answer: Answer, names: Iterable[str], last_lines: tuple[str, ...] = ()) -> RunResult:
    """Return as a result what failed of the services named, in a run that goes on."""
    wanted = set(names)
    message = "; ".join(each.loss for each in answer.services if each.is_lost and each.name in wanted)
    return RunResult(
        answer.code or 1, message or "a service failed", hint="`devrun logs`", is_error=True, last_lines=last_lines
    )


def report_failure(output: Output, result: RunResult) -> int:
    """Say that a start in the background failed, with the service's last lines; return the exit code.

    A start that ended with exit code 0 was over before anybody could look: that is no failure.
    """
    for line in result.last_lines:
        output.say(f"  {line}")
    if result.exit_code == 0:
        output.say(result.message)
    else:
        output.fail(DevrunError(result.message, hint=result.hint), exit_code=result.exit_code)
    return result.exit_code
