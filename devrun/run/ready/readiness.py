"""Whether a service is ready: probes that the supervisor's loop polls on a timer.

A probe never blocks: `check` looks at what is there now, advances what is under way by one step and
returns.  No thread, no clock of its own: `now` is the loop's monotonic time.  Ready means that *this*
service is: the listener on its port belongs to its own tree; somebody else there is a failure that
names him, never "ready" (DESIGN.md section 7).  What cannot be read is "not ready yet".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from devrun.errors import ConfigError, reason_of
from devrun.model import Listener

# A foreign listener must stay this long, seconds.  Shorter: a child forked between the reading of the
# sockets and of the process table is taken for a stranger.  Longer: a clash is told late.
FOREIGN_SETTLES = 0.5
# Characters of an unfinished line that are kept for LogProbe.  Fewer: a pattern in a long progress line
# is missed.  More: a service that never ends a line costs memory and time at each check.
LONGEST_LINE = 65536
# One run of a readiness command, seconds.  Shorter: `docker exec pg_isready` on a busy machine never
# answers.  Longer: a command that hangs once eats the whole time-out.
COMMAND_LIMIT = 10.0
COMMAND_INTERVAL = 1.0

# ECMA-48: control sequences (CSI), operating system commands (OSC, ended by BEL or ST), two-byte escapes.
_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_LINE_END = re.compile(r"[\r\n]")
_REACHABLE = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::", "*", "", "::ffff:127.0.0.1", "::ffff:0.0.0.0"})  # noqa: S104


class Pending(Struct, frozen=True):
    """Not yet."""


class Ok(Struct, frozen=True):
    """Ready."""


class Failed(Struct, frozen=True):
    """It will not become ready; 3 for a foreign holder of the port."""

    message: str
    code: int


Result = Pending | Ok | Failed
PENDING = Pending()
OK = Ok()


class Probe(Protocol):
    """One way of telling readiness."""

    def check(self, now: float, /) -> Result:
        """Look once, without blocking."""
        ...

    def describe(self) -> str:
        """Say what is awaited; follows the word "awaited"."""
        ...

    def close(self) -> None:
        """Let go of sockets and children; may be called twice."""
        ...


class Ownership:
    """Who listens on a port: the service's own tree, a stranger, nobody.

    `listening` returns the listeners on a port, None when the socket table cannot be read.  `tree`
    returns the pids of the service's tree; it is asked after the sockets were read, so that a child
    that has just been forked counts.  `name` describes a pid for people.  `everybody` returns all
    listeners of the machine.
    """

    def __init__(
        self,
        port: int,
        listening: Callable[[int], tuple[Listener, ...] | None],
        tree: Callable[[], frozenset[int]],
        *,
        name: Callable[[int], str] = "pid {}".format,
        everybody: Callable[[], tuple[Listener, ...] | None] = tuple,
    ) -> None:
        self.port = port
        self._everybody = everybody
        self.note = ""
        self._listening = listening
        self._tree = tree
        self._name = name
        self._stranger: tuple[int | None, float] | None = None

    def check(self, now: float) -> Result:
        """Return Ok for the own tree, Failed 3 for a stranger who stays, else Pending.

        Only listeners that `localhost` can reach make a stranger: another daemon may well serve the
        same port on an address of its own (a VPN's, a container bridge's).
        """
        try:
            return self._check(now)
        except OSError as error:  # no descriptor left to read the tables with
            self._stranger, self.note = None, f"who listens there cannot be told: {reason_of(error)}"
            return PENDING

    def _check(self, now: float) -> Result:
        listeners = self._listening(self.port)
        if listeners is None:
            self.note = "the socket table cannot be read"
            return PENDING
        tree = self._tree() if listeners else frozenset()  # the whole process table: only when it is asked about
        strangers = [each.pid for each in listeners if each.pid not in tree and each.address in _REACHABLE]
        if not strangers:
            self._stranger, self.note = None, ""
            return OK if any(each.pid in tree for each in listeners) else PENDING
        pid = strangers[0]
        holder = "a process whose owner is not visible" if pid is None else self._name(pid)
        self.note = f"{holder} listens there"
        if self._stranger is None or self._stranger[0] != pid:
            self._stranger = (pid, now)
        if now - self._stranger[1] < FOREIGN_SETTLES:
            return PENDING
        return Failed(f"port {self.port} is held by {holder}, which is not of its own tree", 3)

    def describe(self) -> str:
        """Say what is in the way, or where the tree listens instead: a server that does not read PORT."""
        if self.note:
            return self.note
        try:
            listeners, tree = self._everybody() or (), self._tree()
        except OSError:
            return ""
        ports = sorted({each.port for each in listeners if each.pid in tree and each.port != self.port})
        return f"it listens on {', '.join(map(str, ports))}" if ports else ""


class PortProbe:
    """Ready when a process of the service's own tree listens on its port."""

    def __init__(self, owner: Ownership) -> None:
        self._owner = owner

    def check(self, now: float, /) -> Result:
        """Look at the socket table."""
        return self._owner.check(now)

    def describe(self) -> str:
        """Say which listener is awaited."""
        note = self._owner.describe()
        return f"a listener on port {self._owner.port}" + (f" ({note})" if note else "")

    def close(self) -> None:
        """Nothing is held."""


class LogProbe:
    """Ready when a line of output matches: decoded, without colour codes, finished or not."""

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"`{pattern}` is not a regular expression: {error}") from error
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._partial: dict[str, str] = {}
        self._found = False

    def feed(self, chunk: bytes, stream: str = "stdout") -> None:
        """Take output of one stream, cut anywhere."""
        if self._found:
            return
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        lines = _LINE_END.split(decoder.decode(chunk))
        lines[0] = self._partial.get(stream, "") + lines[0]
        partial = lines.pop()
        if len(partial) > LONGEST_LINE:
            lines.append(partial)
            partial = partial[-LONGEST_LINE // 2 :]
        self._partial[stream] = partial
        if any(self._matches(line) for line in lines):
            self._found = True
            self._partial.clear()

    def check(self, _now: float, /) -> Result:
        """Tell whether a line has matched; unfinished lines are searched here, not with each chunk."""
        if not self._found:
            self._found = any(self._matches(each) for each in self._partial.values() if each)
        return OK if self._found else PENDING

    def describe(self) -> str:
        """Say which line is awaited."""
        return f"a line of output that matches `{self._pattern.pattern}`"

    def close(self) -> None:
        """Forget what was kept."""
        self._partial.clear()

    def _matches(self, line: str) -> bool:
        return self._pattern.search(_COLOUR.sub("", line)) is not None


class ChildHandle(Protocol):
    """A readiness command that was started."""

    def poll(self) -> int | None:
        """Return its exit code, None while it runs; never blocks."""
        ...

    def kill(self) -> None:
        """Kill it (and what it started); `poll` tells when it is gone."""
        ...


class CommandProbe:
    """Ready when a command exits with 0.  One run at a time, each with a limit, again after an interval."""

    def __init__(
        self,
        launch: Callable[[], ChildHandle],
        text: str = "its readiness command",
        *,
        interval: float = COMMAND_INTERVAL,
        limit: float = COMMAND_LIMIT,
    ) -> None:
        self._launch = launch
        self._text = text
        self._interval = interval
        self._limit = limit
        self._child: ChildHandle | None = None
        self._started = 0.0
        self._next = float("-inf")
        self._is_killed = False
        self._last = ""

    def check(self, now: float, /) -> Result:
        """Start the command when it is due, or see how it goes."""
        if self._child is None and now >= self._next:
            self._started, self._next, self._is_killed = now, now + self._interval, False
            try:
                self._child = self._launch()
            except OSError as error:
                self._last = f" (last: {reason_of(error)})"
        if self._child is None:
            return PENDING
        code = self._child.poll()
        if code is not None:
            self._child = None
            if code == 0 and not self._is_killed:
                return OK
            self._last = self._last if self._is_killed else f" (last: exit code {code})"
        elif now - self._started >= self._limit and not self._is_killed:
            self._child.kill()
            self._is_killed = True
            self._last = f" (last: no answer after {self._limit:g} s)"
        return PENDING

    def describe(self) -> str:
        """Say which command is awaited, and how it ended last."""
        return f"`{self._text}` to exit with 0{self._last}"

    def close(self) -> None:
        """Kill a run that is under way."""
        if self._child is not None and self._child.poll() is None and not self._is_killed:
            self._child.kill()
        self._child = None
