"""`devrun logs`: what the services of this worktree's run said, also after it ended.

Reads files, never the run: it works the same when the supervisor is busy, gone or of another
version.  The run is the newest of the worktree; following ends with it.
"""

from __future__ import annotations

import os
import select
import sys
import time

from devrun.config.problems import did_you_mean
from devrun.config.select import meant_by
from devrun.errors import DevrunError, UsageError
from devrun.model import Liveness, RunRecord, Worktree
from devrun.report.console import AnswerBytes, Output, wants_colour
from devrun.run.output.logfollow import Follower
from devrun.run.output.logreader import logged_services, read_logs
from devrun.run.output.logtime import parse_since
from devrun.run.output.logview import JsonView, LineView
from devrun.run.output.prefixes import Prefixes
from devrun.state import State, open_state
from devrun.system.spawn import raise_descriptor_limit
from devrun.workspace import check_lines, find_worktree

# Between two looks at the files.  Shorter costs wake-ups, longer is felt beside a terminal.
LOOK_EVERY = 0.1


def run(
    output: Output,
    *,
    services: list[str],
    follow: bool,
    lines: int | None,
    since: str | None,
    timestamps: bool,
    no_prefix: bool,
    file: str | None,
) -> int:
    """Print the lines that were asked for; with `follow` go on until the run ends."""
    check_lines(lines, hint="`devrun logs -n 100`")
    begin = None if since is None else parse_since(since)
    raise_descriptor_limit()  # up to four files a service
    with open_state(create=False) as state:
        found = _newest_run(state, find_worktree(file))
        folder = os.path.join(state.runs.folder(found.id), "logs")
        names = _chosen(folder, services)
        printer: LineView | JsonView
        if output.json:
            printer = JsonView(AnswerBytes())
        else:
            colour = wants_colour(sys.stdout, choice=output.color)
            prefixes = Prefixes(names, colour=colour, shown=not no_prefix)
            printer = LineView(AnswerBytes(), prefixes, timestamps=timestamps)
        if not follow or sys.stdout is None:  # closed before the start: nobody looks on
            printer.show(read_logs(folder, names, since=begin, tail=lines))
            return 0
        follower = Follower(folder, names)
        try:
            printer.show(read_logs(folder, names, since=begin, tail=lines, until=follower.marks))
            _follow(state, found, follower, printer, folder=folder, growing=not services)
        finally:
            follower.close()
    return 0


def _newest_run(state: State, worktree: Worktree) -> RunRecord:
    for found in state.runs.all():
        if found.worktree_identity == worktree.identity:
            return found
    raise DevrunError(f"no run of `{worktree.root}` is known", hint="`devrun up`")


def _chosen(folder: str, services: list[str]) -> tuple[str, ...]:
    known = logged_services(folder)
    chosen: list[str] = []
    for word in services:
        names = meant_by(word, known)
        if not names:
            listed = "it has " + (", ".join(f"`{each}`" for each in known) or "no logs")
            raise UsageError(f"the run has no service `{word}`", hint=did_you_mean(word, known) or listed)
        chosen += names
    return tuple(dict.fromkeys(chosen)) or known


def _follow(
    state: State, found: RunRecord, follower: Follower, printer: LineView | JsonView, *, folder: str, growing: bool
) -> None:
    """Show what comes until the run is over; when `growing`, also of services that are added to it."""
    reader = select.poll()
    reader.register(1, 0)
    while True:
        # Locks in a folder that was pruned cannot be asked any more.
        over = state.runs.liveness(found) is Liveness.DEAD or not os.path.isdir(folder)
        if growing:
            follower.add(logged_services(folder))
        printer.pieces(follower.read(), last=over)
        if over:
            return
        events = reader.poll(LOOK_EVERY * 1000)
        if any(each & (select.POLLERR | select.POLLHUP) for _, each in events):
            raise BrokenPipeError
        if events:
            time.sleep(LOOK_EVERY)  # a device that cannot be polled answers at once
