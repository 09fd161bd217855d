"""`devrun down`: end this worktree's run, whatever state it, its configuration or its socket is in."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.report.services import outcome_lines, outcomes_of
from devrun.run.talk.live import end_run, find_run
from devrun.state import open_state
from devrun.workspace import find_worktree


def run(output: Output, *, file: str | None) -> int:
    """End the run and wait for its end; without one there is nothing to do, and nothing is said."""
    worktree = find_worktree(file)
    ended: dict[str, str] = {}
    with open_state(create=False) as state:
        found = find_run(state, worktree)
        while found is not None:
            answer = end_run(state, found)
            if answer is None:
                output.say(f"run {found.id} did not take the request; it was ended by a signal")
                ended |= dict.fromkeys(found.groups, "stopped")
            else:
                ended |= {each.name: each.state for each in answer.services}
            found = find_run(state, worktree)
    outcomes = outcomes_of(ended)
    output.answer("down", outcomes, outcome_lines(outcomes))
    return 0
