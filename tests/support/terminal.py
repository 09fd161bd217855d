"""A person at a terminal: start a program under a pty, read until, type, press Ctrl-C, hang up."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any

import psutil

from tests.support.processes import DEADLINE, wait_gone

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pty with a program as its session leader.

    Start `["sh", "-i"]` and `type` a command to have a shell between, as a person has.  `text` is
    everything shown so far, without colours and carriage returns; `raw` is what really came.
    """

    def __init__(self, argv: Sequence[str], *, rows: int = 40, columns: int = 120, **popen: Any) -> None:
        self._master, slave = os.openpty()
        self.resize(rows, columns)
        try:
            self.popen = subprocess.Popen(
                argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # the child has one thread
                **popen,
            )
        finally:
            os.close(slave)
        self.process = psutil.Process(self.popen.pid)
        self._bytes = b""
        self._seen = 0
        self.closed = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def raw(self) -> str:
        return self._bytes.decode(errors="replace")

    @property
    def text(self) -> str:
        return _COLOURS.sub("", self.raw).replace("\r", "")

    def read_until(self, pattern: str, timeout: float = DEADLINE) -> re.Match[str]:
        """Read until `pattern` shows after what an earlier call matched; return the match."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.MULTILINE).search(self.text, self._seen)
            if found:
                self._seen = found.end()
                return found
            alive = self._read(max(0.0, deadline - time.monotonic()))
            assert alive, f"{pattern!r} did not show; the terminal has:\n{self.text}"

    def drain(self, timeout: float = DEADLINE) -> str:
        """Read until every holder of the terminal has closed it; return everything shown."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        return self.text

    def pump(self) -> bool:
        """Take what is there, without waiting; return whether there was anything."""
        return self._read(0)

    def _read(self, timeout: float) -> bool:
        readable, _, _ = select.select([self._master], [], [], timeout)
        if not readable:
            return False
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO: the last slave was closed
            return False
        self._bytes += chunk
        return bool(chunk)

    def type(self, text: str) -> None:
        """Type text; end it with a line feed for Return."""
        os.write(self._master, text.encode())

    def paste(self, text: str, timeout: float = DEADLINE) -> None:
        """Type a long text as fast as it is taken, reading what is shown meanwhile."""
        left = text.encode()
        deadline = time.monotonic() + timeout
        os.set_blocking(self._master, False)
        while left:
            assert time.monotonic() < deadline, f"{len(left)} bytes were not taken"
            readable, writable, _ = select.select([self._master], [self._master], [], 1)
            if readable:
                self.pump()
            if writable:
                left = left[os.write(self._master, left) :]
        os.set_blocking(self._master, True)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def quit(self) -> None:
        """Press Ctrl-backslash."""
        self.type("\x1c")

    def suspend(self) -> None:
        """Press Ctrl-Z."""
        self.type("\x1a")

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window; the foreground group gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the window: the kernel sends SIGHUP, then SIGCONT, to the foreground group."""
        if not self.closed:
            os.close(self._master)
            self.closed = True

    def wait(self, timeout: float = DEADLINE) -> int:
        """Wait for the program to end, reading on so that it never blocks; return its exit code."""
        deadline = time.monotonic() + timeout
        while self.popen.poll() is None:
            assert time.monotonic() < deadline, f"still running after {timeout} s; it shows:\n{self.text}"
            if self.closed:
                self.popen.wait(max(0.1, deadline - time.monotonic()))
            elif not self._read(0.05):
                wait_gone([self.process], 0.05)
        while not self.closed and self._read(0):
            pass
        return self.popen.returncode

    def close(self) -> None:
        """Hang up, and kill the program if that did not end it (its own children are not touched)."""
        while not self.closed and self._read(0):
            pass
        print(f"the terminal of pid {self.pid} showed:\n{self.text}")  # pytest shows it when the test failed
        self.hang_up()
        if self.popen.poll() is None and wait_gone([self.process], 5):
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(DEADLINE)
