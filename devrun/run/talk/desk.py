"""What a run does for those who talk to it: requests become events, states become answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeGuard

from devrun import __version__
from devrun.run.life import events as ev
from devrun.run.life.events import FINAL_PHASES, Event, Phase
from devrun.run.life.lifecycle import RunState
from devrun.run.life.servicestate import ServiceState, Then, has_missed
from devrun.run.life.turn import Turn
from devrun.run.output.screen import Screen
from devrun.run.roster import Roster
from devrun.run.talk import protocol
from devrun.run.talk.claims import Claims
from devrun.run.talk.connection import Attachment
from devrun.run.talk.protocol import Answer, Ask, ServiceStatus
from devrun.run.tether import resize
from devrun.run.trees import Trees

_AT_REST = FINAL_PHASES | {Phase.READY}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_MOST_CELLS = 0xFFFF  # winsize holds two bytes for each: ioctl_tty(2)

_Pending = Callable[[], Answer | None]


class Desk:
    """Serves the control socket of one run (`control.Served`)."""

    def __init__(  # noqa: PLR0913 - the parts of a run that clients reach, each by name
        self,
        *,
        state: Callable[[], RunState],
        tell: Callable[[Event], None],
        roster: Roster,
        trees: Trees,
        screen: Screen,
        is_borrowed: bool = False,
    ) -> None:
        """`state` returns what the state machine knows now; `tell` takes an event for it."""
        self._state = state
        self._tell = tell
        self._roster = roster
        self._trees = trees
        self._screen = screen
        self._claims = Claims(is_borrowed=is_borrowed)

    def handle(self, ask: Ask, /) -> _Pending:  # noqa: PLR0911 - one return a verb
        """Turn a request into events; return what gives the answer once they were taken."""
        services = self._state().services
        if ask.verb == protocol.STATUS:
            return self._status
        if ask.verb == protocol.DOWN:
            self._tell(ev.StopRun(f"stopped by `devrun {ask.by}`", 0))
            return self._when_finished
        if ask.verb == protocol.KEEP:
            self._claims.keep(ask.names)
            return self._status
        if ask.verb == protocol.ADD:
            return self._add(ask)
        unknown = [name for name in ask.names if name not in services]
        if unknown:
            return self._error(f"`{unknown[0]}` is not part of this run", f"`devrun up -d {unknown[0]}`")
        names = ask.names or tuple(services)
        if ask.verb == protocol.RESIZE:
            return self._resize(names, ask.size)
        if ask.verb not in {protocol.STOP, protocol.START, protocol.RESTART, protocol.WAIT}:
            return self._error(f"this run does not know `{ask.verb}`", "`devrun down`, then `devrun up`")
        return self._change(ask.verb, names)

    def _add(self, ask: Ask) -> _Pending:
        names = tuple(service.name for service in ask.services)
        for name in names:  # a name becomes the name of a log file
            if not _NAME.match(name) or name not in ask.environments:
                return self._error(f"`{name}` cannot be added", "`devrun up -d SERVICE`")
        self._roster.admit(ask.services, protocol.joined_environments(ask), ask.ports)
        self._tell(ev.AddServices(ask.services))
        if not ask.waits:
            return self._status
        services = self._state().services
        return self._when_up(names, {name: _next_start(services.get(name)) for name in names})

    def _change(self, verb: str, names: tuple[str, ...]) -> _Pending:
        services = self._state().services
        if verb == protocol.WAIT:
            return self._when_up(names, {})
        if verb == protocol.STOP:
            was_live = {name: 0 for name in names if services[name].phase not in FINAL_PHASES}
            self._tell(ev.StopServices(names))
            return self._when_down(names, was_live)
        if verb == protocol.START:
            self._tell(ev.StartServices(names))
            ended = {name: services[name].starts + 1 for name in names if services[name].phase in FINAL_PHASES}
            return self._when_up(names, ended)
        self._tell(ev.RestartServices(names))
        return self._when_up(names, {name: services[name].starts + 1 for name in names})

    def hold(self, ask: Ask, /) -> Callable[[], _Pending]:
        """Take a claim on services; return what gives it back."""
        claim = self._claims.take(ask.names, ask.borrowed)

        def release() -> _Pending:
            idle = self._claims.give_back(claim)
            if self._claims.is_deserted:
                self.end_when_deserted()
                return self._when_finished
            if not idle:
                return self._status
            self._tell(ev.StopServices(idle))
            return self._when_down(tuple(name for name in idle if name in self._state().services), {})

        return release

    def end_when_deserted(self) -> None:
        """End a borrowed run that nobody holds."""
        if self._claims.is_deserted:
            self._tell(ev.StopRun("nobody uses it any more", 0))

    def _when_down(self, names: tuple[str, ...], changed: Mapping[str, int]) -> _Pending:
        """Answer once every name is down, or has been started again: somebody else asked for that.

        Who is stopped because of them is down then, too: they need not wait for it where they had no process.
        """
        starts = {name: each.starts for name, each in self._state().services.items()}

        def answer() -> Answer | None:
            state = self._state()
            services = state.services
            if any(
                services[name].phase not in FINAL_PHASES and services[name].starts == starts[name] for name in names
            ):
                return None
            turn = Turn(state)
            dependents = [services[other] for name in names for other in turn.dependents(name)]
            if any(each.stop_wanted and each.then is Then.REST for each in dependents):
                return None
            return self._outcomes(names, changed)

        return answer

    def _when_up(self, names: tuple[str, ...], least_starts: Mapping[str, int]) -> _Pending:
        """Answer once every name rests, and has been started as often as `least_starts` says (or cannot be)."""

        def answer() -> Answer | None:
            state = self._state()
            if _was_cut_short(state, names):
                return self._error("the run is stopping", "`devrun up` starts a new one")()
            for name in names:
                each = state.services.get(name)
                if each is None or each.phase not in _AT_REST:
                    return None
                if each.starts < least_starts.get(name, 0) and not each.is_blocked:
                    if each.phase is Phase.STOPPED:  # somebody else asked for that before it was started
                        return self._error(f"`{name}` was stopped meanwhile", f"`devrun start {name}`")()
                    return None
            return self._outcomes(names, least_starts)

        return answer

    def _outcomes(self, names: tuple[str, ...], changed: Mapping[str, int]) -> Answer:
        services = self._state().services
        outcomes = {
            name: services[name].phase.value if name in changed or services[name].phase is Phase.FAILED else "unchanged"
            for name in names
        }
        lost = [name for name in names if services[name].phase is Phase.FAILED or self._has_missed(name)]
        code = (self._code(lost[0]) or 1) if lost else 0
        return Answer(version=__version__, services=self._services(), outcomes=outcomes, code=code)

    def _when_finished(self) -> Answer | None:
        return self._status() if self._state().is_finished else None

    def _status(self) -> Answer:
        state = self._state()
        services, grace = self._services(), self._roster.grace
        return Answer(version=__version__, services=services, stopping=state.is_stopping, grace=grace)

    def _services(self) -> tuple[ServiceStatus, ...]:
        found = []
        for name, each in self._state().services.items():
            instance = self._trees.instances.get(name)
            missed = self._has_missed(name)
            found.append(
                ServiceStatus(
                    name=name,
                    state=each.phase.value,
                    ready=each.is_ready,
                    restarts=each.restarts,
                    anchor=None if instance is None else instance.anchor.pid,
                    exit_code=self._code(name),
                    detail=f"`{name}` exited with code 0 before it was ready" if missed else each.detail,
                    since=None if instance is None else instance.started_at,
                    prompt=self._screen.prompts.is_waiting(name),
                    missed=missed,
                    ports=self._roster.ports(name).ports.get(name, {}),
                )
            )
        return tuple(found)

    def _has_missed(self, name: str) -> bool:
        services = self._state().services
        return has_missed(services[name], services.values())

    def _code(self, name: str) -> int | None:
        """Return what a service ended with; of one that failed what it failed with (124, 3), not how it was stopped."""
        state = self._state()
        each = state.services[name]
        failure = state.failures.get(name)
        return each.code if failure is None or each.phase is not Phase.FAILED else failure.exit_code

    def attach(self, name: str, size: tuple[int, int] | None, /) -> Attachment | None:
        """Open the way to a service's terminal; None when it is not running or has none."""
        instance = self._trees.instances.get(name)
        if instance is None or instance.master is None:
            return None
        self._resize((name,), size)

        def type_in(keys: bytes, go_on: Callable[[bool], None]) -> bool:
            current = self._trees.instances.get(name)
            return current is None or current.keyboard is None or current.keyboard.type(keys, go_on)

        return Attachment(
            type_in=type_in,
            listen=lambda listener: self._screen.listen(name, listener),
            standing=self._screen.prompts.standing(name),
            is_over=lambda: self._state().services[name].phase in FINAL_PHASES,
        )

    def _resize(self, names: tuple[str, ...], size: tuple[int, int] | None) -> _Pending:
        for name in names:
            instance = self._trees.instances.get(name)
            if instance is not None and instance.master is not None and _is_sane(size):
                resize(instance.master, size)
        return self._status

    def _error(self, message: str, hint: str) -> _Pending:
        return lambda: Answer(version=__version__, error=message, hint=hint, code=1)


def _was_cut_short(state: RunState, names: Iterable[str]) -> bool:
    """Whether the run ends before these came to rest by themselves: one that ends because all are done does not."""
    if not state.is_finished:
        return state.is_stopping
    return any(name in state.services and state.services[name].phase is Phase.STOPPED for name in names)


def _next_start(each: ServiceState | None) -> int:
    """Return the count of starts that says a service was started from here; one that runs needs none."""
    return 0 if each is None or each.phase not in FINAL_PHASES else each.starts + 1


def _is_sane(size: tuple[int, int] | None) -> TypeGuard[tuple[int, int]]:
    return size is not None and all(0 < each <= _MOST_CELLS for each in size)
