"""The installed `devrun` as people call it: a subprocess."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil

from tests.support.processes import DEADLINE

PROGRAM = os.path.join(os.path.dirname(sys.executable), "devrun")


def devrun(*words: str, cwd: str | None = None, timeout: float = 60, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end.  Stdin is empty; both outputs are kept as text."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **popen}
    return subprocess.run([PROGRAM, *words], check=False, cwd=cwd, timeout=timeout, **options)


def devrun_json(*words: str, cwd: str | None = None, **popen: Any) -> Any:
    """Run a command with `--json`; return the `data` of its answer; fail unless it exits 0."""
    done = devrun(*words, "--json", cwd=cwd, **popen)
    assert done.returncode == 0, f"devrun {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)["data"]


class Up:
    """A foreground `devrun up` on pipes: its output is read as it comes, its end is waited for."""

    def __init__(self, *words: str, argv: Sequence[str] = (PROGRAM, "up"), **popen: Any) -> None:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **popen}
        self.popen = subprocess.Popen([*argv, *words], start_new_session=True, **options)
        self.process = psutil.Process(self.popen.pid)
        self.output = ""

    @property
    def pid(self) -> int:
        return self.popen.pid

    def read_until(self, text: str, timeout: float = DEADLINE) -> str:
        """Read until `text` has been printed; return everything printed so far."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            more = self._read(max(0.0, deadline - time.monotonic()))
            assert more, f"{text!r} was not printed:\n{self.output}"
        return self.output

    def _read(self, timeout: float) -> bool:
        stream = self.popen.stdout
        readable, _, _ = select.select([stream], [], [], timeout)
        chunk = os.read(stream.fileno(), 65536) if readable else b""
        self.output += chunk.decode(errors="replace")
        return bool(chunk)

    def send(self, signum: int) -> None:
        """Send a signal to the keeper alone."""
        self.popen.send_signal(signum)

    def wait(self, timeout: float = DEADLINE) -> int:
        """Read to the end of the output and wait for the exit code."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        return self.popen.wait(max(0.1, deadline - time.monotonic()))

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Ask it to end; return the exit code."""
        self.send(signum)
        return self.wait()

    def close(self) -> None:
        """End it if the test did not: TERM, then KILL.  What it leaves is the leak guard's finding."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(DEADLINE)
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        print(f"devrun up (pid {self.pid}) printed:\n{self.output}")  # pytest shows it when the test failed
