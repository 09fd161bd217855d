"""The output of a run: many services, one stdout, one log file each; nothing torn, nothing blocked.

Driven by the supervisor's loop, in its one thread:

    out = Multiplexer(names, fd=1, logs=LogFolder(folder), colour=True)
    source = out.add("web", Stream.STDOUT)
    chunk = read_chunk(fd)              # when the pipe is readable and not `out.is_congested`
    out.feed(source, chunk)             # at the end of the file: out.end(source)
    out.tick()                          # at `out.next_deadline()`
    out.on_writable()                   # when `out.fileno()` has one of `out.events`

Whole chunks are prefixed by `bytes.replace`; there is no loop per line.  The unfinished line at the
end of a chunk waits for its rest, at most PARTIAL_DELAY, then it is shown as it stands and
continued without a second prefix (`display` says how).  Order within a source is always kept.
"""

from __future__ import annotations

import re
import selectors
import time
from collections.abc import Callable, Iterable

from devrun.report.visible import visible
from devrun.run.output.display import Display
from devrun.run.output.logs import LogFile, LogFolder, Stream
from devrun.run.output.prefixes import OWN_NAME, Prefixes
from devrun.run.output.sink import open_sink
from devrun.run.output.terminal import settled_length

# How long an unfinished line may wait for its end.  The promise is 0.5 s on screen; shorter tears
# more lines of slow writers, longer breaks the promise on a busy machine.
PARTIAL_DELAY = 0.3
# An unfinished line longer than this is shown at once, as a piece: it bounds the memory of a source.
PARTIAL_LIMIT = 4 * 1024 * 1024
# A reader that goes on reading gets this many times the patience of `flush`.
_STEADY_READER = 20

_LINE_END = re.compile(rb"\r++\n")


class Source:
    """One stream of one service, from start to end-of-file, and its line that is not finished.

    `continued`: the start of that line is on screen and in the log already.
    """

    __slots__ = ("_pending", "_size", "continued", "log", "service", "stream")

    def __init__(self, service: str, stream: Stream, log: LogFile | None) -> None:
        self.service = service
        self.stream = stream
        self.log = log
        self.continued = False
        self._pending: list[bytes | memoryview] = []
        self._size = 0

    def hold(self, piece: bytes) -> bool:
        """Keep a piece that has no end of line yet; tell whether it is enough to be shown as it is."""
        self._pending.append(piece)
        self._size += len(piece)
        return self._size > PARTIAL_LIMIT

    def release(self, end: bytes | memoryview = b"") -> bytes:
        """Return all that was kept, with its end."""
        self._pending.append(end)
        block = b"".join(self._pending)
        self._pending.clear()
        self._size = 0
        return block

    def release_settled(self) -> bytes:
        """Return what can be shown without its end; the rest is kept."""
        text = self.release()
        length = settled_length(text)
        if length < len(text):
            self.hold(text[length:])
        return text[:length]


class Multiplexer:
    """Shows what the sources say, and keeps it in the log files.

    `fd` None shows nothing (a run in the background).  `names` are the services known beforehand:
    they align the prefixes, and their log files exist from the start.
    """

    def __init__(  # noqa: PLR0913 - how output looks is for the caller to say
        self,
        names: Iterable[str] = (),
        *,
        fd: int | None = 1,
        logs: LogFolder | None = None,
        colour: bool = False,
        timestamps: bool = False,
        prefix: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        names = tuple(names)
        self._prefixes = Prefixes(names, colour=colour, timestamps=timestamps, shown=prefix)
        self._display = None if fd is None else Display(open_sink(fd), self._prefixes, prefixed=prefix or timestamps)
        self._logs = logs
        self._clock = clock
        self._deadlines: dict[Source, float] = {}
        self._notices: LogFile | None = None
        if logs is not None:
            logs.on_trouble = self.notice
            logs.prepare(names)
            self._notices = logs.file(OWN_NAME)

    # --- what services say

    def add(self, service: str, stream: Stream) -> Source:
        """Return a new source; a restarted service gets new ones."""
        self._prefixes.add(service)
        return Source(service, stream, None if self._logs is None else self._logs.file(service))

    def feed(self, source: Source, chunk: bytes) -> None:
        """Take what was read from a source: whole lines go out at once, the rest waits."""
        cut = chunk.rfind(b"\n") + 1
        if cut:
            self._deadlines.pop(source, None)
            self._put(source, source.release(memoryview(chunk)[:cut]))
            chunk = chunk[cut:]
        if chunk:
            if source.hold(chunk):
                self._put_unfinished(source)
            elif source not in self._deadlines:
                self._deadlines[source] = self._clock() + PARTIAL_DELAY

    def end(self, source: Source) -> None:
        """Take the end of a source; its last line is ended if it was not."""
        self._deadlines.pop(source, None)
        block = source.release()
        if block or source.continued:
            self._put(source, block + b"\n")

    # --- what devrun says

    def notice(self, text: str) -> None:
        """Show lines of devrun's own, under its name, and keep them in its own log."""
        line = "\n".join(map(visible, text.split("\n"))).encode(errors="replace")
        if self._notices is not None:
            self._notices.write(Stream.NOTICE, line + b"\n")
        if self._display is not None:
            self._display.notice(line)

    # --- the loop

    def next_deadline(self) -> float | None:
        """Return when `tick` has to be called (monotonic), or None when nothing waits."""
        return next(iter(self._deadlines.values()), None)

    def tick(self, now: float | None = None) -> None:
        """Show unfinished lines that have waited long enough."""
        now = self._clock() if now is None else now
        for source in [each for each, deadline in self._deadlines.items() if deadline <= now]:
            self._put_unfinished(source)

    def fileno(self) -> int | None:
        """Return the descriptor to register for `events`, always the same; None when there is none."""
        return None if self._display is None else self._display.sink.fileno()

    @property
    def events(self) -> int:
        """The selector events wanted of `fileno()`, 0 for none; they change with feeding and writing."""
        if self._display is None:
            return 0
        sink = self._display.sink
        watch = selectors.EVENT_READ if sink.watches_reader else 0
        return watch | (selectors.EVENT_WRITE if sink.wants_write else 0)

    @property
    def wants_write(self) -> bool:
        """Whether something is queued: a run that ended by itself waits until this is over."""
        return self._display is not None and self._display.sink.wants_write

    @property
    def owes_output(self) -> bool:
        """Whether a reader that must not lose anything is still behind."""
        return self._display is not None and not self._display.sink.lossy and self.wants_write

    @property
    def is_congested(self) -> bool:
        """Whether no source should be read: whoever reads stdout is behind (pipes and sockets)."""
        return self._display is not None and self._display.sink.is_congested

    @property
    def closed(self) -> bool:
        """Whether whoever read stdout went away: the run ends, with 141."""
        return self._display is not None and self._display.sink.closed

    def on_writable(self) -> None:
        """Write what fits; notice a reader that went away."""
        if self._display is not None:
            self._display.sink.drain()
            self._display.own_up()

    def stop_waiting(self) -> None:
        """End back-pressure: the run is being stopped, its services must not wait for a reader.

        From now on a pipe is treated as a terminal: 8 MB are kept, then lines are skipped.
        """
        if self._display is not None:
            self._display.sink.lossy = True

    def flush(self, timeout: float) -> bool:
        """Write everything, for at most `timeout` seconds without progress; tell whether all is out.

        A reader that goes on reading gets 20 times as long.
        """
        for source in tuple(self._deadlines):
            self._put_unfinished(source)
        if self._display is None:
            return True
        self._display.end_line()
        sink = self._display.sink
        limit = self._clock() + _STEADY_READER * timeout
        patience = self._clock() + timeout
        while sink.wants_write and (left := min(limit, patience) - self._clock()) > 0:
            queued = sink.queued
            sink.wait(left)
            self.on_writable()
            if sink.queued < queued:
                patience = self._clock() + timeout
        return not sink.wants_write

    def close(self) -> None:
        """Close the log files and the description of our own; what is still queued is lost."""
        if self._display is not None:
            self._display.sink.close()
        if self._logs is not None:
            self._logs.close()

    # --- inside

    def _put_unfinished(self, source: Source) -> None:
        self._deadlines.pop(source, None)
        text = source.release_settled()
        if text:
            self._put(source, text)

    def _put(self, source: Source, block: bytes) -> None:
        if b"\r" in block:
            block = _LINE_END.sub(b"\n", block)
        if source.log is not None:
            source.log.write(source.stream, block)
        if self._display is not None:
            self._display.show(source, source.service, block, continued=source.continued)
        source.continued = not block.endswith(b"\n")
