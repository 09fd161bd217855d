"""`devrun ps`: what runs in this worktree, or with `--all` in every one.  Only looks."""

from __future__ import annotations

from devrun.config.project import Project
from devrun.errors import DevrunError
from devrun.model import Worktree
from devrun.report.console import Output
from devrun.report.services import heading, service_lines
from devrun.run.talk.live import find_run
from devrun.run.talk.overview import View, look_at, look_at_nothing
from devrun.state import State, open_state
from devrun.workspace import find_worktree


def run(output: Output, *, every: bool, file: str | None) -> int:
    """Show the services; 1 when a run does not answer, or somebody else listens on a port of ours."""
    with open_state(create=False) as state:
        if every:
            views = look_at(state, state.runs.alive())
            output.answer("ps", [view.data for view in views], _lines(output, views))
            _show_orphans(output, state)
            _show_spinning(output, file)
        else:
            views = [_here(output, state, find_worktree(file), file)]
            output.answer("ps", views[0].data, _lines(output, views))
    return max((_complain(output, view) for view in views), default=0)


def _here(output: Output, state: State, worktree: Worktree, file: str | None) -> View:
    found = find_run(state, worktree)
    for view in look_at(state, [] if found is None else [found]):
        return view
    return look_at_nothing(state, worktree, _project(output, worktree, file))


def _project(output: Output, worktree: Worktree, file: str | None) -> Project | None:
    """Return what could be started here; a configuration that cannot be read is said, and does not matter."""
    from devrun.config.load import load_project
    from devrun.system.folders import current_folder

    try:
        return load_project(start=current_folder(), file=file)
    except DevrunError as error:
        output.say(f"`{worktree.root}`: {error.lines[0]}")
        return None


def _lines(output: Output, views: list[View]) -> list[str]:
    lines: list[str] = []
    for view in views:
        lines += [""] if lines else []
        lines.append(output.style(heading(view.data, view.owner), "bold"))
        if view.data.services:
            lines += service_lines(view.data.services, view.uptimes, output)
    return lines


def _show_orphans(output: Output, state: State) -> None:
    """Name whom a sweep would stop."""
    from devrun.cleanup import sweep
    from devrun.report.cleaning import sweep_lines

    lines = sweep_lines(sweep(state, dry_run=True), dry_run=True)
    for line in lines:
        output.say(line)
    if lines:
        output.say("hint: `devrun sweep`")


def _show_spinning(output: Output, file: str | None) -> None:
    """Name processes that look like a service of the configuration here, serve nobody and keep a core busy."""
    from devrun.cleanup.spinning import find_spinning
    from devrun.config.load import load_project
    from devrun.system.folders import last_folder

    try:
        services = load_project(start=last_folder(), file=file).services
    except DevrunError:
        return
    for each in find_spinning({name: service.match for name, service in services.items()}):
        output.complain(each.words, hint=f"`devrun guard {each.service} --dry-run`")


def _complain(output: Output, view: View) -> int:
    for name in view.waiting:
        output.say(f"`{name}` waits for input: `devrun attach {name}`")
    for row in view.data.services:
        if row.state == "failed":
            output.say(view.details.get(row.name) or f"`{row.name}` failed")
    for intruder in view.intruders:
        output.complain(intruder.describe(), hint=f"`devrun guard {intruder.service} --dry-run`")
    if view.problem is not None:
        output.complain(view.problem.message, hint=view.problem.hint)
    return 1 if view.intruders or view.problem is not None else 0
