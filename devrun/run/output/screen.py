"""The run's output in the supervisor's loop: what services say, what devrun says, and back-pressure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from devrun.run.instance import Instance
from devrun.run.loop import Loop
from devrun.run.output.logs import LogFolder, Stream
from devrun.run.output.multiplexer import Multiplexer, Source
from devrun.run.output.prompts import Prompts
from devrun.run.output.terminal import plain
from devrun.run.plan import RunPlan

TAIL_SIZE = 4096
"""Bytes of each service's last output kept for a message: a screenful of lines."""
FLUSH_PATIENCE = 0.5
"""Seconds without progress after which a reader that stopped reading is left behind at the end."""


class Screen:
    """Feeds the multiplexer, and stops reading services while whoever reads devrun is behind."""

    def __init__(self, plan: RunPlan, loop: Loop, *, folder: str) -> None:
        self._loop = loop
        self._out = Multiplexer(
            [service.name for service in plan.services],
            fd=None if plan.detached else 1,
            logs=LogFolder(os.path.join(folder, "logs")),
            colour=plan.output.colour,
            timestamps=plan.output.timestamps,
            prefix=plan.output.prefix,
        )
        self._sources: dict[tuple[str, str], Source] = {}
        self._tails: dict[str, bytes] = {}
        self._listeners: dict[str, list[Callable[[bytes], None]]] = {}
        self.prompts = Prompts(loop, self._show_prompt)
        self._is_paused = False
        self._is_stopping = False
        self._watched = (-1, 0)

    @property
    def is_closed(self) -> bool:
        """Whether the reader of our stdout went away."""
        return self._out.closed

    @property
    def owes_output(self) -> bool:
        """Whether a reader that must get everything (a pipe's, not a terminal's) has not got it yet."""
        return self._out.owes_output and not self._out.closed

    def feed(self, service: str, stream: str, chunk: bytes) -> None:
        """Show and keep what a service wrote; b"" ends the stream."""
        key = (service, stream)
        self.prompts.feed(service, stream, chunk)
        if not chunk:
            source = self._sources.pop(key, None)
            if source is not None:
                self._out.end(source)
            return
        if key not in self._sources:
            self._sources[key] = self._out.add(service, Stream(stream))
        self._out.feed(self._sources[key], chunk)
        listeners = self._listeners.get(service)
        if listeners:  # at a raw terminal; what comes from a pipe has no carriage returns
            shown = chunk if stream == "tty" else chunk.replace(b"\n", b"\r\n")
            for listener in tuple(listeners):
                listener(shown)
        self._tails[service] = (self._tails.get(service, b"") + chunk[-TAIL_SIZE:])[-TAIL_SIZE:]

    def listen(self, service: str, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Copy what a service writes to `listener`; return what ends that."""
        listeners = self._listeners.setdefault(service, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def _show_prompt(self, service: str) -> None:
        if not self._listeners.get(service):  # whoever is attached sees it
            self.notice(f"`{service}` waits for input: `devrun attach {service}`")

    def notice(self, text: str) -> None:
        """Show a line of devrun's own."""
        self._out.notice(text)

    def last_lines(self, service: str, count: int = 10) -> list[str]:
        """Return the last lines of a service's output, for a message."""
        lines = self._tails.get(service, b"").splitlines()[-count:]
        return [f"{service} | {plain(line)}" for line in lines]

    def patience(self) -> float | None:
        """Return how long the loop may wait before `tend` has something to do, None for ever."""
        deadline = self._out.next_deadline()
        return None if deadline is None else max(0.0, deadline - self._loop.now())

    def tend(self, instances: Iterable[Instance]) -> None:
        """Do what is due: unfinished lines, writing, back-pressure."""
        self._out.tick()
        self._watch()
        is_paused = self._out.is_congested and not self._is_stopping
        for instance in instances if is_paused or self._is_paused else ():
            if is_paused:  # each time: one may have been started since
                instance.pause()
            else:
                instance.resume()
        self._is_paused = is_paused

    def _watch(self) -> None:
        descriptor, events = self._out.fileno(), self._out.events
        wanted = (-1, 0) if descriptor is None or not events else (descriptor, events)
        if wanted == self._watched:
            return
        if self._watched[0] >= 0:
            self._loop.ignore(self._watched[0])
        if wanted[0] >= 0:
            self._loop.watch(wanted[0], self._out.on_writable, wanted[1])
        self._watched = wanted

    def stop_waiting(self) -> None:
        """End back-pressure: the run stops, and its services must not wait for a reader."""
        self._is_stopping = True
        self._out.stop_waiting()

    def close(self) -> None:
        """Write out what can be written, and close the log files."""
        self._out.flush(FLUSH_PATIENCE)
        self._out.close()
