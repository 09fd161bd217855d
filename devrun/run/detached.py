"""`up -d`: start a run in the background and see it up, or add to the one that is there."""

from __future__ import annotations

from typing import Literal

from devrun.model import PortSet, ProcessIdentity, RunRecord
from devrun.ports.ledger import claim
from devrun.report.background import failed_lines, failure_of, report_failure, started_data
from devrun.report.console import Output
from devrun.report.services import state_lines
from devrun.run.background import start_in_background
from devrun.run.life.events import Phase
from devrun.run.output.lastwords import last_words
from devrun.run.plan import RunPlan, RunResult
from devrun.run.start import Request
from devrun.run.talk import protocol
from devrun.run.talk.adding import add_services, find_wanted, undone
from devrun.run.talk.client import ask
from devrun.run.talk.joining import joining, refuse_ending
from devrun.run.talk.protocol import Answer, Ask, ServiceStatus
from devrun.state import State
from devrun.system.locks import FileLock
from devrun.workspace import Workspace


def detach_run(output: Output, plan: RunPlan, starting: FileLock, *, wait: bool, timeout: float | None) -> int:
    """Start the plan's services in the background; return 0 when it is up (with `wait`: ready).

    A start that fails is explained by the last lines of the service, and leaves nothing running.
    `starting` is the worktree's lock.  No database may be open here.
    """
    answer = start_in_background(plan, starting).wait(ready=wait, timeout=timeout)
    if isinstance(answer, RunResult):
        code = report_failure(output, answer)
        if not code:  # migrations and their kind: it was up, and is over
            over = tuple(ServiceStatus(service.name, Phase.STOPPED.value) for service in plan.services)
            data = started_data("started", plan.id, Answer(services=over), plan.ports)
            output.answer("take" if plan.taken else "up", data)
        return code
    return _report(output, "started", plan.id, answer, plan.ports, taking=plan.taken)


def join_run(  # noqa: PLR0913 - what a start knows, and the run it found
    output: Output,
    request: Request,
    workspace: Workspace,
    state: State,
    running: RunRecord,
    *,
    wait: bool,
    owner: ProcessIdentity | None,
) -> int:
    """Add what a live run does not have yet; what was added and fails, or is not ready in time, is stopped again.

    Raises EndingRunError when the run is ending already.
    """
    if owner is not None and owner != running.owner:
        output.say("the run was started before and keeps its owner; `--replace` gives it another")
    ports = claim(state, workspace.worktree, workspace.project, slot=request.slot, say=output.say)
    with joining(running):
        wanted = find_wanted(running, request, workspace)
        refuse_ending(stopping=ask(running, Ask(protocol.KEEP, names=wanted.names)).stopping)
    with undone(wanted) as addition:
        answer = add_services(wanted, ports, wait=wait, timeout=request.ready_timeout)
        addition.stays = not isinstance(answer, RunResult) and answer.code == 0
    if isinstance(answer, RunResult):
        return report_failure(output, answer)
    if answer.code:
        return report_failure(output, failure_of(answer, wanted.names, last_words(state, running, wanted.names)))
    if wanted.missing:
        output.say(f"added {', '.join(f'`{name}`' for name in wanted.missing_names)}")
    return _report(output, "already_running", running.id, answer, ports, taking=request.taking)


def _report(  # noqa: PLR0913 - what both ways of being up have to say
    output: Output,
    status: Literal["started", "already_running"],
    run: str,
    answer: Answer,
    ports: PortSet,
    *,
    taking: bool,
) -> int:
    data = started_data(status, run, answer, ports)
    headings = {"started": f"started in the background: run {run}", "already_running": f"already running: run {run}"}
    for line in failed_lines(answer):
        output.say(line)
    output.answer("take" if taking else "up", data, [headings[status], *state_lines(data.services)])
    return 0
