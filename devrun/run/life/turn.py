"""One step of the state machine being worked out: a copy of the state and the effects so far.  Pure.

The handlers of `lifecycle` say what an event means by the methods here; `settle` then does what
follows from the states of all services: stops in order, starts, and the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from devrun.config.project import Condition
from devrun.run.life import events as ev
from devrun.run.life.events import Effect, Phase
from devrun.run.life.servicestate import ServiceState, Then, is_over, is_satisfied

_WHY_NOT = {Phase.FAILED: "failed", Phase.EXITED: "has ended", Phase.STOPPED: "is stopped"}


class Ending(Struct, frozen=True):
    """An exit code and why: of the run, or of a service that failed."""

    exit_code: int
    message: str


class RunState(Struct, frozen=True):
    """Everything the machine knows.

    `ending` is set once the run stops.  `failures` are the services that were lost, first one first.
    """

    services: Mapping[str, ServiceState]
    ending: Ending | None = None
    failures: Mapping[str, Ending] = {}
    is_finished: bool = False

    @property
    def is_stopping(self) -> bool:
        """Whether the run is ending: nothing is started any more."""
        return self.ending is not None


class Turn:
    """A state under change."""

    def __init__(self, state: RunState) -> None:
        self.services: dict[str, ServiceState] = dict(state.services)
        self.failures: dict[str, Ending] = dict(state.failures)
        self.ending = state.ending
        self.effects: list[Effect] = []
        self._needed_by: dict[str, list[str]] | None = None

    def change(self, name: str, **fields: Any) -> ServiceState:
        """Replace fields of a service; return its new state."""
        self.services[name] = changed = replace(self.services[name], **fields)
        return changed

    def announce(self, name: str, text: str) -> None:
        """Tell people about a service."""
        self.effects.append(ev.Announce(name, text))

    def dependents(self, name: str) -> tuple[str, ...]:
        """Return everybody who needs `name`, directly or not."""
        return tuple(self._above(name, set()))

    def _above(self, name: str, passed: set[str]) -> Iterator[str]:
        """Yield everybody who needs `name` and is not in `passed`, which grows by them."""
        frontier = [name]
        while frontier:
            for other in self._direct_dependents().get(frontier.pop(), ()):
                if other != name and other not in passed:
                    passed.add(other)
                    frontier.append(other)
                    yield other

    def _direct_dependents(self) -> Mapping[str, list[str]]:
        """Return who needs whom, turned around: to ask all about each takes a chain of 200 minutes."""
        if self._needed_by is None:
            self._needed_by = {}
            for other, each in self.services.items():
                for needed in {one.service for one in each.service.depends_on} - {other}:
                    self._needed_by.setdefault(needed, []).append(other)
        return self._needed_by

    # What an event does to a service or to the run.

    def cancel_waits(self, name: str) -> None:
        """Stop waiting for readiness and for a restart."""
        each = self.services[name]
        if each.is_awaited:
            self.effects.append(ev.CancelReady(name))
        if each.restart_due:
            self.effects.append(ev.CancelRestart(name))
        self.change(name, is_awaited=False, restart_due=False)

    def want_stop(self, name: str, then: Then, final: Phase = Phase.STOPPED) -> None:
        """Have a live service stopped as soon as its order allows."""
        self.cancel_waits(name)
        self.change(name, stop_wanted=True, then=then, final=final)

    def put_to_rest(self, name: str) -> None:
        """Have a service stopped and stay so, whatever was planned for it."""
        each = self.services[name]
        if each.has_tree and not each.stop_wanted:
            self.want_stop(name, Then.REST)
        elif each.has_tree and each.then is not Then.REST:
            self.change(name, then=Then.REST, final=Phase.STOPPED)
        elif each.phase is Phase.WAITING:
            self.cancel_waits(name)
            self.change(name, phase=Phase.STOPPED)

    def end_run(self, exit_code: int, message: str) -> None:
        """Stop everything; the first reason stays."""
        if self.ending is None:
            self.ending = Ending(exit_code, message)
            for name in self.services:
                self.put_to_rest(name)

    def fail(self, name: str, code: int, message: str) -> None:
        """Give a service up: alone when the run can do without it, else with the run."""
        each = self.services[name]
        if each.has_tree:
            self.want_stop(name, Then.REST, Phase.EXITED if code == 0 else Phase.FAILED)
            self.change(name, detail=message)
        else:
            self.change(name, phase=Phase.FAILED, detail=message)
        if code != 0:
            self.failures[name] = Ending(code, message)
        self.announce(name, message)
        if each.service.essential and (each.was_ready or not each.by_verb):
            self.end_run(code, message)

    def wake(self, name: str, woken: set[str]) -> None:
        """Bring a service to life, with what it needs and what was kept from starting by it."""
        frontier = [name]
        while frontier:  # no recursion: a chain may be longer than Python's stack
            frontier += reversed(self._wake_one(frontier.pop(), woken))

    def _wake_one(self, name: str, woken: set[str]) -> list[str]:
        """Bring one service to life; return who is to follow."""
        each = self.services.get(name)
        if name in woken or each is None or (each.has_tree and not each.stop_wanted):
            return []
        woken.add(name)
        if each.has_tree:
            self.change(name, then=Then.START, final=Phase.STOPPED)
        elif is_over(each) or each.restart_due:
            self.cancel_waits(name)
            self.change(name, phase=Phase.WAITING, by_verb=True, is_blocked=False, detail="", streak=0)
        self.failures.pop(name, None)
        follow = [
            one.service
            for one in each.service.depends_on
            if (other := self.services.get(one.service)) is not None
            and not (one.condition is Condition.COMPLETED and is_satisfied(other, one.condition))
        ]
        return follow + [other for other in self.dependents(name) if self.services[other].is_blocked]

    def put_down(self, name: str) -> None:
        """Take the tree as gone: rest, start again, or plan the restart (its delay was announced)."""
        each = self.change(name, has_tree=False, stop_wanted=False, stop_sent=False, main_gone=True)
        if each.then is Then.REST:
            self.change(name, phase=each.final)
        elif each.then is Then.START:
            self.change(name, phase=Phase.WAITING, by_verb=True, streak=0)
        else:
            self.change(name, phase=Phase.WAITING, restart_due=True, by_verb=False, streak=each.streak + 1)
            self.effects.append(ev.ScheduleRestart(name, each.delay))

    # Settling: whatever follows, until nothing does.

    def settle(self) -> tuple[RunState, tuple[Effect, ...]]:
        """Do what follows; return the new state and all effects."""
        self._stop_trees()
        while self.ending is None and self._start_next():
            pass
        if self.ending is None and all(each.phase in {Phase.EXITED, Phase.FAILED} for each in self.services.values()):
            self.ending = next(iter(self.failures.values()), Ending(0, "every service has ended"))
        is_finished = self.ending is not None and not any(each.has_tree for each in self.services.values())
        if self.ending is not None and is_finished:
            self.effects.append(ev.Finish(self.ending.exit_code, self.ending.message))
        return RunState(self.services, self.ending, self.failures, is_finished), tuple(self.effects)

    def _stop_trees(self) -> None:
        wanted = [name for name, each in self.services.items() if each.stop_wanted and not each.stop_sent]
        down: set[str] = set()
        free = [name for name in wanted if self._may_stop(name, down)]
        if not free and not any(each.stop_sent for each in self.services.values()):
            free = wanted  # services that depend on each other: nobody would ever be the first
        for name in free:
            self.change(name, stop_sent=True, phase=Phase.STOPPING)
            self.effects.append(ev.StopTree(name))

    def _may_stop(self, name: str, down: set[str]) -> bool:
        """Whether nobody who needs `name` is to be stopped before it; `down` are those who, and all above, are not."""
        each = self.services[name]
        if each.main_gone or not each.was_started:
            return True
        passed = set(down)
        others = map(self.services.__getitem__, self._above(name, passed))
        if any(other.has_tree and other.stop_wanted for other in others):
            return False
        down |= passed
        return True

    def _start_next(self) -> bool:
        for name, each in self.services.items():
            if each.phase is not Phase.WAITING or each.restart_due:
                continue
            needed = self._needed(each)
            lost = [other for other, is_met in needed if is_over(other) and not is_met]
            ran_without = each.starts > 0 and not each.by_verb  # then an automatic restart can, too
            if lost and not ran_without:
                self._block(name, lost[0])
                return True
            if all(is_met or is_over(other) for other, is_met in needed):
                self._start(name)
                return True
        return False

    def _needed(self, each: ServiceState) -> list[tuple[ServiceState, bool]]:
        found = ((self.services.get(one.service), one.condition) for one in each.service.depends_on)
        return [(other, is_satisfied(other, condition)) for other, condition in found if other is not None]

    def _block(self, name: str, culprit: ServiceState) -> None:
        reason = f"`{name}` is not started: `{culprit.service.name}` {_WHY_NOT[culprit.phase]}"
        phase = Phase.STOPPED if culprit.phase is Phase.STOPPED else Phase.FAILED
        self.change(name, phase=phase, is_blocked=True, detail=reason)
        if phase is Phase.FAILED:
            self.failures[name] = Ending(1, reason)
        self.announce(name, reason)

    def _start(self, name: str) -> None:
        old = self.services[name]
        self.services[name] = ServiceState(
            service=old.service,
            phase=Phase.STARTING,
            has_tree=True,
            starts=old.starts + 1,
            streak=old.streak,
            by_verb=old.by_verb,
        )
        self.effects.append(ev.Start(name, old.starts, guard=old.starts > 0 or old.by_verb))
