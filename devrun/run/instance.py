"""One life of one service: its anchor, tether and pipes, from spawn to the last byte.

An instance is made by `launch`, tells its main process's end through `on_exit`, and is over when
the supervisor has seen its tree empty and let the anchor go: then `finish` takes the last output.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping

from devrun.config.project import Service, Stdin
from devrun.model import ProcessIdentity
from devrun.run import layers
from devrun.run.anchor import RELEASE_FD, STATUS_FD, anchored, read_status
from devrun.run.keyboard import Keyboard
from devrun.run.loop import Loop
from devrun.run.output.pipes import read_chunk
from devrun.run.tether import DEFAULT_SIZE, open_tether
from devrun.system.processes import identify
from devrun.system.spawn import Spawn, SpawnError, spawn

_LAST_READS = 64
"""Reads of a pipe after the anchor ended: a process that was spared may go on writing for ever."""


class Wires:
    """The descriptors between the supervisor and one instance; who is not kept is closed."""

    def __init__(self, service: Service, size: tuple[int, int]) -> None:
        """Open a tether and pipes as the service's `tty` and `stdin` ask.

        Raises OSError when the system has no descriptors left; nothing stays open then.
        """
        self._open: list[int] = []
        self._held: set[int] = set()
        self.readers: dict[str, int] = {}
        self.master: int | None = None
        self.terminal: int | None = None
        try:
            self._lay(service, size)
        except BaseException:
            self.close()
            raise

    def _lay(self, service: Service, size: tuple[int, int]) -> None:
        stdin = os.open(os.devnull, os.O_RDWR)
        self._open.append(stdin)
        tether = open_tether(size) if layers.is_on(layers.TETHER) else None
        if tether is not None:
            self.master, self.terminal = self._kept(tether)
            self.readers["tty"] = self.master
            if service.stdin is Stdin.NULL:  # a terminal that nobody has open reads as one that is over (EIO, pty(7))
                self._held = {self.terminal}
            stdin = stdin if service.stdin is Stdin.NULL else self.terminal
        if service.tty and self.terminal is not None:
            stdout = stderr = self.terminal
        else:
            self.readers["stdout"], stdout = self._kept(os.pipe())
            self.readers["stderr"], stderr = self._kept(os.pipe())
        self.status, status = self._kept(os.pipe())
        release, self.release = self._kept(os.pipe())
        self.descriptors = {0: stdin, 1: stdout, 2: stderr, STATUS_FD: status, RELEASE_FD: release}
        for descriptor in (self.status, *self.readers.values()):
            os.set_blocking(descriptor, False)

    def _kept(self, ends: tuple[int, int]) -> tuple[int, int]:
        self._open.extend(ends)
        return ends

    def close_far_ends(self) -> None:
        """Close what only the child uses."""
        self._close_all_but({self.status, self.release, *self.readers.values(), *self._held})

    def close_release(self) -> None:
        """Let the anchor's last read end."""
        self._close_all_but(set(self._open) - {self.release})

    def close(self) -> None:
        """Close everything that is still open."""
        self._close_all_but(set())

    def _close_all_but(self, kept: set[int]) -> None:
        for descriptor in self._open:
            if descriptor not in kept:
                os.close(descriptor)
        self._open = [descriptor for descriptor in self._open if descriptor in kept]


class Instance:
    """A running (or ending) process tree of a service.  Made by `launch`."""

    def __init__(
        self, service: Service, anchor: ProcessIdentity, wires: Wires, feed: Callable[[str, bytes], None]
    ) -> None:
        self.service = service
        self.anchor = anchor
        self.exit_code: int | None = None
        self.started_at = time.time()
        self.on_finish: Callable[[], None] | None = None
        self.keyboard: Keyboard | None = None
        self._wires = wires
        self._feed = feed
        self._loop: Loop | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def master(self) -> int | None:
        """Our end of the tether, None when there was no pty to be had."""
        return self._wires.master

    def attach(self, loop: Loop, *, on_exit: Callable[[Instance], None]) -> None:
        """Have the loop read the output and tell of the main process's end, once."""
        self._loop = loop
        self.keyboard = None if self.master is None else Keyboard(self.master, loop)

        def status_changed() -> None:
            code = read_status(self._wires.status)
            if code is not None:
                loop.ignore(self._wires.status)
                self.exit_code = code
                on_exit(self)

        loop.watch(self._wires.status, status_changed)
        self.resume()

    def resume(self) -> None:
        """Read the output (again)."""
        for stream in self._wires.readers:
            self._watch(stream)

    def pause(self) -> None:
        """Leave the output in the pipes: whoever reads ours is behind.

        The tether is read all the same: a prompt has to be seen, and an unread pty blocks its writer.  Not
        where it is all that the service writes to: without end, that would be kept in memory.
        """
        for stream, descriptor in self._wires.readers.items():
            if self._loop is not None and (stream != "tty" or self.service.tty):
                self._loop.ignore(descriptor)

    def _watch(self, stream: str) -> None:
        loop, descriptor = self._loop, self._wires.readers[stream]
        if loop is None:
            return

        def readable() -> None:
            if not self._read(stream):
                loop.ignore(descriptor)

        loop.watch(descriptor, readable)

    def _read(self, stream: str) -> bool:
        """Read once and pass it on; return False at the end, which is passed on as b""."""
        chunk = read_chunk(self._wires.readers[stream])
        if chunk is None:
            return True
        self._feed(stream, chunk)
        return bool(chunk)

    def let_go(self) -> None:
        """Let the anchor end; the tree must be empty."""
        self._wires.close_release()

    def finish(self) -> None:
        """Pass on the last output and close every descriptor; the anchor has ended."""
        for stream, descriptor in self._wires.readers.items():
            for _ in range(_LAST_READS):
                chunk = read_chunk(descriptor)
                if not chunk:
                    break
                self._feed(stream, chunk)
            self._feed(stream, b"")
        if self.keyboard is not None:
            self.keyboard.close()
        if self._loop is not None:
            for descriptor in (self._wires.status, *self._wires.readers.values()):
                self._loop.ignore(descriptor)
        self._wires.close()
        self._wires.readers.clear()
        if self.on_finish is not None:
            self.on_finish()


def launch(
    service: Service,
    environment: Mapping[str, str],
    *,
    feed: Callable[[str, bytes], None],
    size: tuple[int, int] = DEFAULT_SIZE,
) -> Instance:
    """Start a service under its anchor and return the instance, already exec'ed.

    `feed(stream, chunk)` takes its output, b"" at the end of a stream.  Raises SpawnError when it cannot
    be started, OSError when there are no descriptors or processes left; nothing is open or running then.
    """
    wires = Wires(service, size)
    try:
        pid = spawn(
            Spawn(
                argv=anchored(service.command),
                cwd=service.working_dir,
                environment=environment,
                descriptors=wires.descriptors,
                terminal=wires.terminal,
            )
        )
        anchor = _identified(pid, service.name)
    except BaseException:
        wires.close()  # which hangs up on whoever has been started already
        raise
    wires.close_far_ends()
    return Instance(service, anchor, wires, feed)


def _identified(pid: int, name: str) -> ProcessIdentity:
    anchor = identify(pid)
    if anchor is None:  # a child that nobody has waited for is always in the process table
        raise SpawnError(errno.ESRCH, os.strerror(errno.ESRCH), name)
    return anchor
