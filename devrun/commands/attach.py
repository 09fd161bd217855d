"""`devrun attach SERVICE`: type into the terminal of a service."""

from __future__ import annotations

import sys

from devrun.errors import UsageError
from devrun.report.console import Output
from devrun.run.talk import protocol
from devrun.run.talk.attaching import LEFT, Attached
from devrun.run.talk.changing import find_names
from devrun.run.talk.client import ask
from devrun.run.talk.keys import parse_key
from devrun.run.talk.live import require_run
from devrun.run.talk.protocol import Ask
from devrun.state import open_state
from devrun.workspace import find_worktree


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
    else:
        output.say(f"`{names[0]}` has ended")
    return 0
