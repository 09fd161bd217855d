"""Whose death ends a run: the launchers above it, or an owner.

TERM or KILL to `pnpm dev` reaches nobody below it, so a foreground run remembers its ancestors up to
the first that is not a mere wrapper, and ends when one of them dies.  A run that cannot lean on a
terminal (started with `&` from a script, or with none at all) is bound to an owner as well: the
nearest agent, editor or terminal.  Under nohup, and with `-d`, the launchers do not count.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence

from msgspec import Struct

from devrun.errors import DevrunError, UsageError
from devrun.model import ProcessIdentity, ProcessRecord, ProcessSnapshot
from devrun.run.plan import Binding

WRAPPERS = frozenset(
    """
    npm npx pnpm pnpx yarn yarnpkg bun bunx corepack make gmake just task turbo nx uv uvx direnv env
    dotenv mise asdf poetry pipenv hatch pdm rye time timeout nice stdbuf setsid
    """.split()
)
SHELLS = frozenset({"ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "sh", "zsh"})
_SHELL_COMMAND = re.compile(r"-[a-z]*c[a-z]*")
_SCRIPT_SUFFIX = re.compile(r"(-cli)?\.(js|cjs|mjs|py)$")
_INTERPRETER = re.compile(r"(node|bun|deno|python)[\d.]*")


class LauncherLostError(DevrunError):
    """Whoever started the command was killed before there was a run that could end with it."""

    exit_code = 128 + signal.SIGHUP


def is_wrapper(argv: Sequence[str]) -> bool:
    """Tell whether a command line only exists to run another one (`sh -c`, npm, make, …).

    An empty command line is not known to be one.
    """
    if not argv or not argv[0].strip():
        return False
    words = list(argv) if len(argv) > 1 else argv[0].split()  # npm rewrites its title into one element
    name = _program(words[0])
    if name in SHELLS:
        return any(_SHELL_COMMAND.fullmatch(word) for word in words[1:3])
    if _INTERPRETER.fullmatch(name):
        script = next((word for word in words[1:] if not word.startswith("-")), "")
        return _program(script) in WRAPPERS
    return name in WRAPPERS


def launching_chain(lineage: Sequence[ProcessRecord]) -> tuple[ProcessIdentity, ...]:
    """Return the ancestors of `lineage[0]` (left out) up to the first that is no wrapper, with it.

    pid 1 and its like are nobody: a run below init has lost its launcher already.
    """
    chain: list[ProcessIdentity] = []
    for record in lineage[1:]:
        if record.pid <= 1:
            break
        chain.append(record.identity)
        if not is_wrapper(record.argv or ()):
            break
    return tuple(chain)


class Launch(Struct, frozen=True):
    """How devrun was started.  The signals are those that were ignored when it began.

    `is_orphaned` says that its parent has ended since: its ancestors are another process's now.
    """

    detached: bool = False
    is_orphaned: bool = False
    hangup_ignored: bool = False
    interrupt_ignored: bool = False


def find_binding(snapshot: ProcessSnapshot, launch: Launch, *, is_owner: Callable[[ProcessRecord], bool]) -> Binding:
    """Bind a run to those it depends on.

    `snapshot` has the command lines of this process's ancestors.  `is_owner` tells agents, editors
    and terminals, or nobody when no owner is wanted.  A foreground run without a recognised owner
    keeps to its launchers, whichever way it was started.  Raises LauncherLostError when the death that would
    end the run has come already.
    """
    lineage = snapshot.lineage(snapshot.self_pid)
    owner = next((record.identity for record in lineage[1:] if is_owner(record)), None)
    if launch.detached or launch.hangup_ignored or (launch.interrupt_ignored and owner is not None):
        return Binding(owner=owner)
    if launch.is_orphaned:
        raise LauncherLostError("the process that started this command has ended", hint="`devrun up -d`")
    return Binding(ancestors=launching_chain(lineage), owner=owner)


def named_owner(pid: int, snapshot: ProcessSnapshot) -> ProcessIdentity:
    """Return the identity of `--owner-pid`; raise UsageError when there is no such living process."""
    record = snapshot.get(pid) if pid > 1 else None
    if record is None or record.is_zombie:
        raise UsageError(f"`--owner-pid {pid}` is no living process", hint="`--owner auto` finds the owner")
    return record.identity


def _program(word: str) -> str:
    return _SCRIPT_SUFFIX.sub("", os.path.basename(word.lstrip("-")))
