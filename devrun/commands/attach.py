"""`devrun attach SERVICE`: type into the terminal of a service."""

from __future__ import annotations

import sys

from devrun.errors import DevrunError, UsageError
from devrun.model import RunRecord
from devrun.report.console import Output
from devrun.run.talk import protocol
from devrun.run.talk.attaching import LEFT, Attached
from devrun.run.talk.changing import find_names
from devrun.run.talk.client import UnreachableError, ask
from devrun.run.talk.keys import parse_key
from devrun.run.talk.live import require_run
from devrun.run.talk.protocol import Ask
from devrun.state import open_state
from devrun.workspace import find_worktree

_LIVING = frozenset({"starting", "running", "ready"})


def run(output: Output, *, service: str, detach_key: str, file: str | None) -> int:
    """Attach until the detach key, or the end of the service."""
    key = parse_key(detach_key)
    if sys.stdin is None or sys.stdout is None:
        raise UsageError("`devrun attach` needs stdin and stdout", hint="`devrun logs -f`")
    with open_state(create=False) as state:
        found = require_run(state, find_worktree(file))
    names = find_names([service], (each.name for each in ask(found, Ask(protocol.STATUS)).services))
    if len(names) > 1:
        raise UsageError(f"`{service}` has {len(names)} instances", hint=f"`devrun attach {names[0]}`")

    def greet() -> None:
        if sys.stdin.isatty():  # which is raw by now: the line ends with a return of its own
            output.say(f"attached to `{names[0]}`: {key.name} leaves, the service goes on", end="\r\n")

    if Attached(found, names[0], key=key).converse(greet=greet) == LEFT:
        output.say(f"left `{names[0]}`, which goes on")
    elif _lives(found, names[0]):  # this end did not read, or typed for what was restarted
        raise UnreachableError(f"the run hung up; `{names[0]}` goes on", hint=f"`devrun attach {names[0]}`")
    else:
        output.say(f"`{names[0]}` has ended")
    return 0


def _lives(run: RunRecord, service: str) -> bool:
    try:
        services = ask(run, Ask(protocol.STATUS)).services
    except DevrunError:
        return False
    return any(each.name == service and each.anchor is not None and each.state in _LIVING for each in services)
