"""Start the services of this worktree, and stay until they end or leave them in the background: `up` and `take`."""

from __future__ import annotations

import sys

from devrun.config.select import select_services
from devrun.errors import UsageError
from devrun.ports.starting import plain_numbers
from devrun.report.console import Output, wants_colour
from devrun.report.running import conclude, headline
from devrun.run.launch import run_to_end
from devrun.run.owner import find_owner
from devrun.run.plan import Binding, OutputOptions
from devrun.run.start import (
    Request,
    already_running,
    clear_the_way,
    lock_worktree,
    make_plan,
    rehearse,
    wait_for_ending_run,
)
from devrun.run.talk.live import end_run
from devrun.state import open_state
from devrun.workspace import Workspace, check_timeout, open_workspace


def bring_up(  # noqa: PLR0913 - the options of two verbs
    output: Output,
    *,
    taking: bool,
    services: list[str],
    file: str | None,
    formation: str | None,
    profile: list[str],
    detach: bool,
    replace: bool,
    wait: bool,
    timeout: float | None,
    slot: int | None,
    no_prefix: bool,
    timestamps: bool,
    owner_pid: int | None,
    owner: str | None,
) -> int:
    """Start what was asked for (`taking`: on plain ports); in the foreground, return the exit code of the run."""
    check_timeout(timeout)
    if wait and not detach:
        verb = "take" if taking else "up"
        raise UsageError("`--wait` needs `-d`: in the foreground nothing returns", hint=f"`devrun {verb} -d --wait`")
    request = Request(
        services=tuple(services),
        profiles=tuple(profile),
        slot=slot,
        taking=taking,
        detached=detach,
        ready_timeout=timeout,
        output=OutputOptions(
            prefix=not no_prefix,
            timestamps=timestamps,
            colour=not detach and wants_colour(sys.stdout, choice=output.color),
        ),
    )
    workspace = open_workspace(file=file, formation=formation)
    select_services(workspace.project, request.services, request.profiles)  # bad names end here: nothing is written
    binding = find_owner(pid=owner_pid, automatic=owner == "auto", detached=detach)

    def start() -> int:
        return _start(output, request, workspace, binding, replace=replace, wait=wait, seeks_owner=owner == "auto")

    if not detach:
        return start()
    from devrun.run.talk.joining import follow

    return follow(start)


def _start(  # noqa: PLR0913 - what was asked for, and where
    output: Output,
    request: Request,
    workspace: Workspace,
    binding: Binding,
    *,
    replace: bool,
    wait: bool,
    seeks_owner: bool,
) -> int:
    """Start under the worktree's lock, or join the run that lives there.  Raises EndingRunError for one just ending."""
    with open_state() as state:
        lock = lock_worktree(state, workspace.worktree)
        running = wait_for_ending_run(state, workspace)
        if running is not None and not replace:
            lock.close()
            if request.taking:
                plain_numbers(state, workspace.worktree)  # refuses the main checkout
            if not request.detached or (request.taking and not running.taken):
                raise already_running(running, taking=request.taking)
            from devrun.run.detached import join_run

            return join_run(output, request, workspace, state, running, wait=wait, owner=binding.owner)
        if running is not None:
            rehearse(request, workspace, state, running)  # else it would be lost for nothing
            end_run(state, running, by=f"{'take' if request.taking else 'up'} --replace")
        plan = make_plan(request, workspace, state, binding=binding, say=output.say)
        clear_the_way(plan, state, say=output.say)
    if seeks_owner and binding.owner is None:
        output.say("no owner found: no agent, editor or terminal is above; `--owner-pid PID` names one")
    for line in headline(plan, output):
        output.say(line)
    if not request.detached:
        return conclude(output, run_to_end(plan, lock))
    from devrun.run.detached import detach_run

    return detach_run(output, plan, lock, wait=wait, timeout=request.ready_timeout)
