"""Which services of a run are asked whether they are ready; the answers are told as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from devrun.errors import DevrunError
from devrun.run.life import events as ev
from devrun.run.life.events import Event
from devrun.run.loop import Loop
from devrun.run.roster import Roster
from devrun.run.trees import Trees

if TYPE_CHECKING:
    from devrun.run.ready.probing import Awaited


class Asking:
    """The probes under way.  What asks is loaded with the first of them: most services need none at their start."""

    def __init__(
        self, roster: Roster, trees: Trees, loop: Loop, *, timeout: float | None, tell: Callable[[Event], None]
    ) -> None:
        """`timeout` (seconds) replaces what the services say of themselves."""
        self._roster = roster
        self._trees = trees
        self._loop = loop
        self._timeout = timeout
        self._tell = tell
        self._awaited: dict[str, Awaited] = {}

    def begin(self, name: str) -> None:
        """Ask until there is an answer: BecameReady or ReadyFailed."""
        from devrun.run.ready.probing import Awaited, make_probe

        service = self._roster.service(name)
        instance, environment = self._trees.instances[name], self._roster.environment(name)
        try:
            probe = make_probe(service, instance, environment, self._trees.children)
        except DevrunError as error:  # of a service that was added by hand: the configuration checks its own
            self._tell(ev.ReadyFailed(name, error.message, error.exit_code))
            return
        timeout = service.ready.timeout if self._timeout is None else self._timeout
        self._awaited[name] = Awaited(name, probe, timeout=timeout, loop=self._loop, tell=self._tell)
        self._awaited[name].ask()

    def cancel(self, name: str) -> None:
        """Ask no more; not asking is fine."""
        awaited = self._awaited.pop(name, None)
        if awaited is not None:
            awaited.cancel()

    def feed(self, name: str, stream: str, chunk: bytes) -> None:
        """Hand output to the probe that reads it: what the pipes carry, and a terminal that replaces them."""
        awaited = self._awaited.get(name)
        if awaited is not None and (stream != "tty" or self._roster.service(name).tty):
            awaited.feed(stream, chunk)
