"""What a run is made of, decided before the first process: the value `up` hands to the keeper."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

from devrun.config.project import Project, Service
from devrun.model import PortSet, ProcessIdentity, Worktree
from devrun.report.visible import printable
from devrun.run.life.events import Finish

STOP_MARGIN = 2.0
"""Seconds a supervisor may take beyond the grace.  Less, and a loaded machine loses the orderly
stop; more, and a supervisor that hangs keeps the terminal for longer than people wait."""


PULSE = 1.0
"""Seconds between two looks at the worktree and the owner.  Shorter wakes an idle machine; longer breaks
"within two seconds"."""


NAMED = 20
"""Services that the last line names; of more it says how many.  Fewer hide who was stopped, more fill a screen."""


class OutputOptions(Struct, frozen=True):
    """How the services' output is shown.  `colour` is decided already."""

    prefix: bool = True
    timestamps: bool = False
    colour: bool = False


class Binding(Struct, frozen=True):
    """Whose death ends the run.  `ancestors` launched it; `owner` was named or found."""

    ancestors: tuple[ProcessIdentity, ...] = ()
    owner: ProcessIdentity | None = None

    @property
    def watched(self) -> tuple[ProcessIdentity, ...]:
        """Everybody whose death ends the run."""
        return self.ancestors if self.owner is None else (*self.ancestors, self.owner)


class RunPlan(Struct, frozen=True):
    """One `devrun up`.  `services` are expanded and in start order; `environments` are complete.

    `project` is kept for services that are added to the run later.  A run with a `borrower` (an
    `exec`) ends when nobody holds it any more.  A `taken` one (of `take`) has the main checkout's plain ports.
    """

    id: str
    project: Project
    worktree: Worktree
    ports: PortSet
    services: tuple[Service, ...]
    environments: Mapping[str, Mapping[str, str]]
    state_path: str
    socket: str
    output: OutputOptions = OutputOptions()
    binding: Binding = Binding()
    detached: bool = False
    ready_timeout: float | None = None
    borrower: ProcessIdentity | None = None
    taken: bool = False

    @property
    def grace(self) -> float:
        """The longest time any service may take to end, in seconds."""
        return max((service.stop.timeout for service in self.services), default=0.0)


class RunResult(Struct, frozen=True):
    """How a run ended: the exit code, and what is said about it in one line (and a hint).

    `last_lines` come before that: the end of the output of a service that was not ready in time, or
    whom the keeper left.
    """

    exit_code: int
    message: str
    hint: str | None = None
    is_error: bool = False
    last_lines: tuple[str, ...] = ()


def conclude(ending: Finish, stopped: Collection[str], seconds: float, *, survivors: int) -> RunResult:
    """Return the result of a run whose services are down: why it ended, who was stopped, and whom nothing could end."""
    names = ", ".join(sorted(stopped)) if len(stopped) <= NAMED else f"{len(stopped)} services"
    message = f"{ending.message}; stopped {names} in {seconds:.2f} s" if names else ending.message
    if survivors:
        message += f"; {survivors} process{'' if survivors == 1 else 'es'} survived"
    code = ending.exit_code or (1 if survivors else 0)
    return RunResult(code, message, is_error=code != 0)


def encode_result(result: RunResult) -> bytes:
    """Return a result as bytes for another process of devrun; a folder it names may be no UTF-8."""
    try:
        return msgspec.msgpack.encode(result)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(printable(msgspec.to_builtins(result)))


def decode_result(said: bytes) -> RunResult | None:
    """Return the result; None when there is none, or whoever said it was killed in the middle of it."""
    try:
        return msgspec.msgpack.decode(said, type=RunResult)
    except msgspec.DecodeError:
        return None
