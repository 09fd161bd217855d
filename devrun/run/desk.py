"""What a run does for those who talk to it: requests become events, states become answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from devrun import __version__
from devrun.run import events as ev
from devrun.run import protocol
from devrun.run.control import Attachment
from devrun.run.events import FINAL_PHASES, Event, Phase
from devrun.run.lifecycle import RunState
from devrun.run.protocol import Answer, Ask, ServiceStatus
from devrun.run.roster import Roster
from devrun.run.screen import Screen
from devrun.run.tether import resize
from devrun.run.trees import Trees

_AT_REST = FINAL_PHASES | {Phase.READY}


_Pending = Callable[[], Answer | None]


class Desk:
    """Serves the control socket of one run (`control.Served`)."""

    def __init__(
        self,
        *,
        state: Callable[[], RunState],
        tell: Callable[[Event], None],
        roster: Roster,
        trees: Trees,
        screen: Screen,
    ) -> None:
        """`state` returns what the state machine knows now; `tell` takes an event for it."""
        self._state = state
        self._tell = tell
        self._roster = roster
        self._trees = trees
        self._screen = screen

    def handle(self, ask: Ask, /) -> _Pending:  # noqa: PLR0911 - one return a verb
        """Turn a request into events; return what gives the answer."""
        if ask.verb == protocol.STATUS:
            return self._status
        if ask.verb == protocol.DOWN:
            self._tell(ev.StopRun("stopped by `devrun down`", 0))
            return self._when_finished
        if ask.verb == protocol.ADD:
            self._roster.admit(ask.services, ask.environments)
            names = tuple(service.name for service in ask.services)
            self._tell(ev.AddServices(ask.services))
            return self._when(names, _AT_REST, dict.fromkeys(names, 0))
        unknown = [name for name in ask.names if name not in self._state().services]
        if unknown:
            return lambda: self._error(f"`{unknown[0]}` is not part of this run", f"`devrun up -d {unknown[0]}`")
        names = ask.names or tuple(self._state().services)
        if ask.verb == protocol.RESIZE:
            return lambda: self._resize(names, ask.size)
        if ask.verb not in {protocol.STOP, protocol.START, protocol.RESTART, protocol.WAIT}:
            return lambda: self._error(f"this run does not know `{ask.verb}`", "`devrun down`, then `devrun up`")
        return self._change(ask.verb, names)

    def _change(self, verb: str, names: tuple[str, ...]) -> _Pending:
        services = self._state().services
        if verb == protocol.WAIT:
            return self._when(names, _AT_REST, {})
        if verb == protocol.STOP:
            was_live = {name: 1 for name in names if services[name].has_tree}
            self._tell(ev.StopServices(names))
            return self._when(names, FINAL_PHASES, was_live)
        if verb == protocol.START:
            self._tell(ev.StartServices(names))
            started = {name: services[name].starts + 1 for name in names if services[name].phase in FINAL_PHASES}
            return self._when(names, _AT_REST, started)
        self._tell(ev.RestartServices(names))
        return self._when(names, _AT_REST, {name: services[name].starts + 1 for name in names})

    def _when(self, names: tuple[str, ...], rest: frozenset[Phase], least_starts: Mapping[str, int]) -> _Pending:
        """Answer once every name rests, and has been started as often as `least_starts` says (or cannot be)."""

        def answer() -> Answer | None:
            state = self._state()
            if state.is_stopping and not state.is_finished and rest is not FINAL_PHASES:
                return self._error("the run is stopping", "`devrun up` starts a new one")
            for name in names:
                each = state.services.get(name)
                if each is None or each.phase not in rest:
                    return None
                if each.starts < least_starts.get(name, 0) and not each.is_blocked:
                    return None
            return self._outcomes(names, least_starts)

        return answer

    def _outcomes(self, names: tuple[str, ...], changed: Mapping[str, int]) -> Answer:
        services = self._state().services
        outcomes = {
            name: services[name].phase.value if name in changed or services[name].phase is Phase.FAILED else "unchanged"
            for name in names
        }
        failed = [services[name] for name in names if services[name].phase is Phase.FAILED]
        code = (failed[0].code or 1) if failed else 0
        return Answer(version=__version__, services=self._services(), outcomes=outcomes, code=code)

    def _when_finished(self) -> Answer | None:
        return self._status() if self._state().is_finished else None

    def _status(self) -> Answer:
        state = self._state()
        return Answer(version=__version__, services=self._services(), stopping=state.is_stopping)

    def _services(self) -> tuple[ServiceStatus, ...]:
        found = []
        for name, each in self._state().services.items():
            instance = self._trees.instances.get(name)
            found.append(
                ServiceStatus(
                    name=name,
                    state=each.phase.value,
                    ready=each.is_ready,
                    restarts=each.restarts,
                    anchor=None if instance is None else instance.anchor.pid,
                    exit_code=each.code,
                    detail=each.detail,
                    since=None if instance is None else instance.started_at,
                )
            )
        return tuple(found)

    def attach(self, name: str, size: tuple[int, int] | None, /) -> Attachment | None:
        """Open the way to a service's terminal; None when it is not running or has none."""
        instance = self._trees.instances.get(name)
        if instance is None or instance.master is None:
            return None
        if size is not None:
            resize(instance.master, size)

        def type_in(keys: bytes) -> None:
            current = self._trees.instances.get(name)
            if current is not None and current.master is not None:
                _write(current.master, keys)

        return Attachment(type_in=type_in, listen=lambda listener: self._screen.listen(name, listener))

    def _resize(self, names: tuple[str, ...], size: tuple[int, int] | None) -> Answer:
        for name in names:
            instance = self._trees.instances.get(name)
            if instance is not None and instance.master is not None and size is not None:
                resize(instance.master, size)
        return self._status()

    def _error(self, message: str, hint: str) -> Answer:
        return Answer(version=__version__, error=message, hint=hint, code=1)


def _write(master: int, keys: bytes) -> None:
    """Type into a terminal; what its full input queue does not take is lost, as on any terminal."""
    try:
        os.write(master, keys)
    except OSError:
        return
