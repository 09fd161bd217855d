"""What the state machine knows of one service, and the questions it asks of it.  Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from msgspec import Struct

from devrun.config.project import Condition, ReadyKind, Service
from devrun.run.life.events import FINAL_PHASES, Phase

# Restarts without `max_restarts`.  With the default back-off ten take two and a half minutes: time to
# repair a syntax error.  Fewer: a typo ends the run.  More: a hopeless service is news too late.
DEFAULT_MAX_RESTARTS = 10


class Then(enum.Enum):
    """What happens once a tree that is being stopped is gone.

    REST: nothing.  RESTART: the policy's back-off, then a start.  START: a start at once (a verb).
    """

    REST = "rest"
    RESTART = "restart"
    START = "start"


class ServiceState(Struct, frozen=True):
    """One service.

    `has_tree`: processes may exist, from Start to TreeGone.  `was_started`, `was_ready`, `main_gone`
    and `code` are of the latest start.  `stop_wanted` waits for dependents, `stop_sent` for TreeGone;
    then come `then` and, at rest, `final`, before a restart `delay`.  `starts` counts all starts,
    `streak` the restarts since the service last lived long.  `by_verb`: started or restarted by a
    person in a live run.
    `is_blocked`: never started because of what it depends on; `detail` says why it is not there.
    """

    service: Service
    phase: Phase = Phase.WAITING
    has_tree: bool = False
    was_started: bool = False
    was_ready: bool = False
    main_gone: bool = False
    code: int | None = None
    is_awaited: bool = False
    restart_due: bool = False
    stop_wanted: bool = False
    stop_sent: bool = False
    then: Then = Then.REST
    final: Phase = Phase.STOPPED
    delay: float = 0.0
    starts: int = 0
    streak: int = 0
    by_verb: bool = False
    is_blocked: bool = False
    detail: str = ""

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    @property
    def is_ready(self) -> bool:
        """Whether it is ready now."""
        return self.phase is Phase.READY

    def needs(self, name: str, condition: Condition | None = None) -> bool:
        """Whether it depends on `name` directly (under exactly `condition`, when one is given)."""
        return name != self.service.name and any(
            each.service == name and condition in {None, each.condition} for each in self.service.depends_on
        )


def is_over(state: ServiceState) -> bool:
    """Return whether nothing more comes of this service by itself."""
    return state.phase in FINAL_PHASES


def is_satisfied(state: ServiceState, condition: Condition) -> bool:
    """Return whether a service that waits for `state` under `condition` may go on."""
    if condition is Condition.COMPLETED:
        return state.phase is Phase.EXITED
    if condition is Condition.READY:
        return state.was_ready and state.phase in {Phase.READY, Phase.EXITED} and not state.stop_wanted
    return state.phase in {Phase.RUNNING, Phase.READY, Phase.EXITED} and not state.stop_wanted


def has_missed(state: ServiceState, services: Iterable[ServiceState]) -> bool:
    """Return whether a service of these ended well before it was ready, and nobody waits for it to complete.

    A migration that exits with 0 has done what was asked; a server that does is not there.
    """
    name = state.service.name
    return (
        state.phase is Phase.EXITED
        and not state.was_ready
        and state.service.ready.kind is not ReadyKind.STARTED
        and not any(each.needs(name, Condition.COMPLETED) for each in services)
    )


def restart_cap(service: Service) -> int:
    """Return how many restarts in a row a service may take."""
    asked = service.restart.max_restarts
    return DEFAULT_MAX_RESTARTS if asked is None else asked


def restart_delay(service: Service, streak: int) -> float:
    """Return the seconds before the restart that follows `streak` others: doubled each time, bounded."""
    restart = service.restart
    # The exponent is bounded because a float overflows at 2**1024, long after any sensible maximum.
    return max(0.0, min(restart.backoff * 2.0 ** min(streak, 64), restart.max_backoff))
