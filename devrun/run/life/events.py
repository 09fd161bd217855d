"""What the supervisor tells the state machine of a run, and what the machine asks of it.

Values only.  An event is a fact that was observed or a wish of a person; an effect is an order.
`lifecycle.step` is the one place where events become effects.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from devrun.config.project import Service


class Phase(enum.Enum):
    """Where a service is in its life; the words of `devrun ps`.

    WAITING: for what it depends on, or for its next restart.  STARTING: ordered, not spawned yet.
    RUNNING: spawned, not ready yet.  EXITED: ended by itself with 0.  STOPPED: ended by devrun.
    """

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"
    STOPPED = "stopped"


FINAL_PHASES = frozenset({Phase.EXITED, Phase.FAILED, Phase.STOPPED})


class Spawned(Struct, frozen=True):
    """The main process of a service runs."""

    name: str


class SpawnFailed(Struct, frozen=True):
    """There is no process: the anchor or the command could not be started."""

    name: str
    message: str
    code: int = 1


class GuardRefused(Struct, frozen=True):
    """Nothing was spawned: somebody who must not be stopped is in the way, or nobody can tell."""

    name: str
    message: str
    code: int = 3


class BecameReady(Struct, frozen=True):
    """The probe asked for by `AwaitReady` succeeded."""

    name: str


class ReadyFailed(Struct, frozen=True):
    """The probe gave up.  124: not in time, the message says what was awaited; 3: a foreign holder."""

    name: str
    message: str
    code: int = 124


class MainExited(Struct, frozen=True):
    """The main process ended; others of its tree may live on.

    `code` is an exit code, or minus the signal, as `waitstatus_to_exitcode` says it.  `holder` names
    a foreign process on the service's port.  `uptime` is seconds since `Spawned`: a long life makes
    earlier restarts forgotten.
    """

    name: str
    code: int
    holder: str | None = None
    uptime: float = 0.0


class TreeGone(Struct, frozen=True):
    """No process of the service is left (or there never was one)."""

    name: str


class RestartDue(Struct, frozen=True):
    """The delay of `ScheduleRestart` has passed."""

    name: str


class StopRun(Struct, frozen=True):
    """End the run.  The first reason is the one that is reported."""

    reason: str
    exit_code: int


class StopServices(Struct, frozen=True):
    """Stop services and what depends on them; the run goes on."""

    names: tuple[str, ...]


class StartServices(Struct, frozen=True):
    """Start services and what they depend on; those that run are left alone."""

    names: tuple[str, ...]


class RestartServices(Struct, frozen=True):
    """Stop and start exactly these services."""

    names: tuple[str, ...]


class AddServices(Struct, frozen=True):
    """Take services into the run and start them; those that run are left alone."""

    services: tuple[Service, ...]


Event = (
    Spawned
    | SpawnFailed
    | GuardRefused
    | BecameReady
    | ReadyFailed
    | MainExited
    | TreeGone
    | RestartDue
    | StopRun
    | StopServices
    | StartServices
    | RestartServices
    | AddServices
)


class Start(Struct, frozen=True):
    """Spawn a service, after its guard where `guard` says so.  `attempt` 0 is its first start.

    Answered by Spawned, SpawnFailed or GuardRefused.
    """

    name: str
    attempt: int = 0
    guard: bool = False


class StopTree(Struct, frozen=True):
    """Stop every process of a service, or give up spawning it; always answered by TreeGone.

    May be given twice for one tree, and for a tree that is empty already.
    """

    name: str


class AwaitReady(Struct, frozen=True):
    """Poll the readiness probe; answered by BecameReady or ReadyFailed unless cancelled."""

    name: str


class CancelReady(Struct, frozen=True):
    """Stop polling the readiness probe."""

    name: str


class ScheduleRestart(Struct, frozen=True):
    """Report RestartDue after `delay` seconds, unless cancelled."""

    name: str
    delay: float


class CancelRestart(Struct, frozen=True):
    """Forget the scheduled restart."""

    name: str


class Announce(Struct, frozen=True):
    """Tell people.  `name` is the service it is about."""

    name: str | None
    text: str


class Finish(Struct, frozen=True):
    """The run is over: every tree is gone.  The last effect of a run, given exactly once."""

    exit_code: int
    message: str


Effect = Start | StopTree | AwaitReady | CancelReady | ScheduleRestart | CancelRestart | Announce | Finish
