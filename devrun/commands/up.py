"""`devrun up`: start the services of this worktree and stay until they end."""

from __future__ import annotations

import sys

from devrun.config.select import select_services
from devrun.report.console import Output, wants_colour
from devrun.report.running import conclude, headline
from devrun.run.launch import run_to_end
from devrun.run.owner import find_owner
from devrun.run.plan import OutputOptions
from devrun.run.start import (
    Request,
    already_running,
    clear_the_way,
    find_place,
    lock_worktree,
    make_plan,
    wait_for_ending_run,
)
from devrun.state import open_state


def run(
    output: Output,
    *,
    services: list[str],
    file: str | None,
    profile: list[str],
    slot: int | None,
    timeout: float | None,
    no_prefix: bool,
    timestamps: bool,
    owner_pid: int | None,
    owner: str | None,
) -> int:
    """Start what was asked for, stay, and return the exit code of the run."""
    request = Request(
        services=tuple(services),
        profiles=tuple(profile),
        slot=slot,
        ready_timeout=timeout,
        output=OutputOptions(
            prefix=not no_prefix, timestamps=timestamps, colour=wants_colour(sys.stdout, choice=output.color)
        ),
    )
    place = find_place(file)
    select_services(place.project, request.services, request.profiles)  # bad names end here, with nothing written
    binding = find_owner(pid=owner_pid, automatic=owner == "auto")
    state = open_state()
    lock = lock_worktree(state, place.worktree)
    running = wait_for_ending_run(state, place)
    if running is not None:
        raise already_running(running)
    plan = make_plan(request, place, state, binding=binding)
    clear_the_way(output, plan, state)
    for line in headline(plan, output):
        output.say(line)
    return conclude(output, run_to_end(plan, state, lock))
