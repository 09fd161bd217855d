"""From a folder and a command line to a run: who am I, which ports, is the way clear, go.

The order is the safety: nothing is started before everything that can be refused has been.

1. configuration, worktree, state folder: bad input ends here, with exit 2;
2. the worktree's lock; a live run of it is refused, one that is ending is waited for;
3. the lease of its ports, the services with their environments;
4. one survey of the machine for the sweep of orphans and the guard of every service;
5. the keeper forks the supervisor, which publishes the run and starts the services.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from shlex import quote

from msgspec import Struct

from devrun.cleanup import GuardReport, guard, sweep, target_of
from devrun.config.select import select_services
from devrun.errors import DevrunError, RefusedError
from devrun.model import ProcessIdentity, RunRecord, Worktree
from devrun.ports.ledger import claim
from devrun.ports.starting import hold_for_start, plain_numbers
from devrun.report.cleaning import skipped_lines, stop_lines
from devrun.run import layers
from devrun.run.environment import common_environment, prepare_services
from devrun.run.plan import PULSE, STOP_MARGIN, Binding, OutputOptions, RunPlan
from devrun.run.talk.live import find_run, is_ending
from devrun.state import State
from devrun.state.folder import socket_folder
from devrun.system.execute import CONFIRM_SECONDS
from devrun.system.locks import FileLock
from devrun.workspace import Workspace
from devrun.worktrees.locate import file_id, root_of
from devrun.worktrees.survey import Survey

_POLL = 0.05
_LOCK_WAIT = 10.0
"""Seconds for another `devrun` of this worktree to get its run published.  Shorter refuses a second
start on a loaded machine without cause; longer looks like a hang."""
_LIST = "`devrun worktree list`"


class Request(Struct, frozen=True):
    """What `up` was asked for, or `take` (`taking`)."""

    services: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    slot: int | None = None
    taking: bool = False
    detached: bool = False
    borrower: ProcessIdentity | None = None
    ready_timeout: float | None = None
    output: OutputOptions = OutputOptions()


def lock_worktree(state: State, worktree: Worktree) -> FileLock:
    """Take the worktree's lock, so that two starts of it follow one another.

    Raises DevrunError where the worktree went while the lock was waited for: nothing is claimed for it.
    """
    lock = FileLock.take(state.worktree_lock_path(worktree.identity), wait=_LOCK_WAIT)
    if lock is None:
        raise RefusedError(
            f"another devrun command has been starting a run in `{worktree.root}` for {_LOCK_WAIT:g} s",
            hint="`devrun ps`",
        )
    if worktree.file_id not in {None, file_id(worktree.root)}:  # its removal held the lock until now
        lock.close()
        raise DevrunError(f"worktree `{worktree.root}` is gone: removed, moved or made anew", hint=_LIST)
    return lock


def wait_for_ending_run(state: State, workspace: Workspace) -> RunRecord | None:
    """Return the live run of the worktree; one that is ending is waited for, as long as that may take.

    That is one grace, or, where its supervisor hangs and its keeper clears up, two.

    A run is ending when it says so, or when one of its two processes is gone: the other is clearing
    up then.  One of a worktree that stood here before ends as soon as it looks again.
    """
    worktree = workspace.worktree
    grace = max((service.stop.timeout for service in workspace.project.services.values()), default=0.0)
    until = time.monotonic() + PULSE + 2 * grace + STOP_MARGIN + CONFIRM_SECONDS
    while True:
        run = find_run(state, worktree)
        if run is None or time.monotonic() >= until:
            return run
        if not is_ending(state, run) and not _is_of_a_predecessor(run, worktree):
            return run
        time.sleep(_POLL)


def _is_of_a_predecessor(run: RunRecord, worktree: Worktree) -> bool:
    """Tell whether the run is of a worktree that was removed and re-created at the same place."""
    known = run.folder is not None and worktree.file_id is not None
    return known and run.worktree == worktree.root and run.folder != worktree.file_id


def already_running(run: RunRecord, *, taking: bool = False) -> RefusedError:
    """Return the refusal of a second run in a worktree, with the ways to follow or replace the first."""
    pid = "" if run.keeper is None else f" (pid {run.keeper.pid})"
    ports = " on its own ports" if taking and not run.taken else ""
    again = "take" if taking else "up"
    return RefusedError(
        f"already running in `{run.worktree}`{pid}{ports}",
        hint=f"`devrun logs -f` follows it, `devrun {again} --replace` takes over, `devrun down` ends it",
    )


def make_plan(  # noqa: PLR0913 - what was asked for, where, and whom to tell
    request: Request,
    workspace: Workspace,
    state: State,
    *,
    binding: Binding,
    say: Callable[[str], None],
    replaced: str | None = None,
) -> RunPlan:
    """Claim the ports and work out everything the run will need; `say` hears why a lease moved.

    While a run that it is to replace still lives, the ports are only asked for.
    """
    project, worktree = workspace.project, workspace.worktree
    chosen = select_services(project, request.services, request.profiles)
    ports = claim(state, worktree, project, slot=request.slot, say=say, dry_run=replaced is not None, replaced=replaced)
    if request.taking:
        ports = plain_numbers(state, worktree)
    common = common_environment(os.environ, project, ports, colour=request.output.colour)
    services, environments = prepare_services(chosen, common, worktree, ports)
    run = new_run_id()
    return RunPlan(
        id=run,
        project=project,
        worktree=worktree,
        ports=ports,
        services=services,
        environments=environments,
        state_path=state.path,
        socket=os.path.join(socket_folder(), f"{run}.sock"),
        output=request.output,
        binding=binding,
        detached=request.detached,
        borrower=request.borrower,
        taken=request.taking,
        ready_timeout=request.ready_timeout,
    )


def new_run_id() -> str:
    """Return an id that sorts by time and is unique on the machine."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + os.urandom(4).hex()


def clear_the_way(plan: RunPlan, state: State, *, say: Callable[[str], None]) -> None:
    """Sweep the machine and guard every service, from one reading of the process table.

    `say` hears what was stopped.  Raises RefusedError when a service cannot start because of
    somebody who stays, or because its plain port belongs to a live run elsewhere; nothing has been
    started by then.
    """
    if not layers.is_on(layers.SWEEP):
        return
    survey = Survey()
    swept = sweep(state, settings=plan.project.to_sweep, survey=survey, root=plan.project.root)
    hold_for_start(state, plan.worktree, plan.ports, {service.name for service in plan.services}, taking=plan.taken)
    guarded = _guard(plan, state, survey=None if swept.results else survey)
    for line in (*skipped_lines(swept), *stop_lines((*swept.results, *guarded.results))):
        say(line)
    _refuse_blocked(guarded, plan)


def rehearse(request: Request, workspace: Workspace, state: State, running: RunRecord) -> None:
    """Raise what the successor of a live run would be refused for, as far as that can be known before it has ended."""
    plan = make_plan(request, workspace, state, binding=Binding(), say=lambda _: None, replaced=running.id)
    if layers.is_on(layers.SWEEP):
        hold_for_start(state, plan.worktree, plan.ports, {each.name for each in plan.services}, taking=plan.taken)
        _refuse_blocked(_guard(plan, state, replaced=running.id), plan)


def _guard(plan: RunPlan, state: State, *, survey: Survey | None = None, replaced: str | None = None) -> GuardReport:
    targets = [target_of(service, plan.ports) for service in plan.services]
    settings, is_dry = plan.project.sweep, replaced is not None
    return guard(state, plan.worktree, targets, dry_run=is_dry, replaced=replaced, survey=survey, settings=settings)


def _refuse_blocked(guarded: GuardReport, plan: RunPlan) -> None:
    for blocked in guarded.blocked:
        raise RefusedError(blocked.message or "", hint=_where_it_helps(blocked.hint, plan))


def _where_it_helps(hint: str | None, plan: RunPlan) -> str | None:
    """Send who takes the main checkout's ports there with `devrun guard`: here it is about other ports."""
    main = root_of(plan.worktree.repository or "") if plan.taken else None
    return hint.replace("`devrun guard ", f"`cd {quote(main)} && devrun guard ") if hint and main else hint
