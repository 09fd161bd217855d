"""`devrun exec [--] CMD…`: run a command with the services it needs, and stop what was started for it."""

from __future__ import annotations

import os
from typing import NamedTuple

from devrun.config.select import select_services
from devrun.errors import UsageError
from devrun.model import PortSet
from devrun.ports.ledger import claim
from devrun.report.background import failed_lines, failure_of, report_failure
from devrun.report.console import Output
from devrun.run.environment import common_environment
from devrun.run.foreground import find_program, run_command
from devrun.run.launch import own_identity
from devrun.run.output.lastwords import last_words
from devrun.run.plan import Binding, RunResult
from devrun.run.start import Request, clear_the_way, lock_worktree, make_plan, wait_for_ending_run
from devrun.run.talk.adding import Wanted, find_wanted
from devrun.run.talk.joining import follow, joining
from devrun.run.talk.loan import JoinedRun, NewRun
from devrun.state import open_state
from devrun.workspace import Workspace, check_timeout, open_workspace


def run(
    output: Output,
    *,
    services: list[str],
    profile: list[str],
    file: str | None,
    timeout: float | None,
    command: list[str],
) -> int:
    """Start what is missing, wait until it is ready, run the command, give all back; return the command's code."""
    argv = command[1:] if command[:1] == ["--"] else command
    if not argv:
        raise UsageError("`devrun exec` needs a command", hint="`devrun exec -- pnpm test`")
    check_timeout(timeout)
    request = Request(
        services=tuple(services),
        profiles=tuple(profile),
        detached=True,
        borrower=own_identity(),
        ready_timeout=timeout,
    )
    workspace = open_workspace(file=file)
    select_services(workspace.project, request.services, request.profiles)
    find_program(argv[0], {**os.environ, **workspace.project.env_files})  # else nothing is started for it
    used = follow(lambda: _join_or_start(request, workspace, output))
    environment = common_environment(os.environ, workspace.project, used.ports)
    with used.run:
        answer = used.run.wait_ready(timeout)
        if isinstance(answer, RunResult):
            code = report_failure(output, answer)
            return code or run_command(argv, environment)  # 0: migrations and their kind, all completed
        if used.joined is not None and answer.code:
            with open_state(create=False) as state:
                lines = last_words(state, used.joined.run, used.joined.names)
            return report_failure(output, failure_of(answer, used.joined.names, lines))
        for line in failed_lines(answer):
            output.say(line)
        return run_command(argv, environment)


class _Use(NamedTuple):
    """The services of one command: in a run of its own, or (`joined`) in one that was there."""

    run: NewRun | JoinedRun
    ports: PortSet
    joined: Wanted | None = None


def _join_or_start(request: Request, workspace: Workspace, output: Output) -> _Use:
    """Join the live run of the worktree, or start one.  Raises EndingRunError for one that ends meanwhile."""
    with open_state() as state:
        lock = lock_worktree(state, workspace.worktree)
        running = wait_for_ending_run(state, workspace)
        if running is None:
            plan = make_plan(request, workspace, state, binding=Binding(), say=output.say)
            clear_the_way(plan, state, say=output.say)
        else:
            lock.close()
            ports = claim(state, workspace.worktree, workspace.project, say=output.say)
    if running is None:
        return _Use(NewRun(plan, lock), plan.ports)
    with joining(running):
        wanted = find_wanted(running, request, workspace)
        return _Use(JoinedRun(wanted, ports), ports, wanted)
