"""Time from exec to the first byte of a service, devrun beside other launchers, on one Procfile.

    python -m benchmarks.startup [--services 1] [--rounds 20] [--json]

Two moments are taken: `service`, when the service itself writes into a pipe of its own, and `shown`,
when its line arrives on the launcher's stdout (a pipe).  `cpu` is the processor time of the launcher and
its children from exec to the end, the stop included: steadier than the wall on a busy machine.
`devrun up` does its sweep of the machine, its guard and its lease all the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time

from benchmarks.compare import Times, enter_project, launchers, read_options, show, take_turns

NOTHING = [sys.executable, "-c", "pass"]
"""The floor: an interpreter that starts and ends."""
MARK = b"first-byte"
PATIENCE = 10.0
REST = 0.3  # honcho that is interrupted while it starts several services leaves some of them behind


def measure(command: list[str], environment: dict[str, str], /) -> Times:
    """Start a launcher, take the moments, end it with Ctrl-C's signal."""
    fifo = os.open("first", os.O_RDONLY | os.O_NONBLOCK)
    reader, writer = os.pipe()
    began = time.monotonic()
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)],
    )
    os.close(writer)
    service = shown = 0.0
    try:
        if command is not NOTHING:
            service = _until(fifo, b".", began)
            shown = _until(reader, MARK, began)
            time.sleep(REST)
    finally:
        if command is not NOTHING:
            os.kill(pid, signal.SIGINT)
        said = _drain(reader)
        _, _, usage = os.wait4(pid, 0)
        os.close(fifo)
        os.close(reader)
    ended = time.monotonic() - began
    if command is not NOTHING and not shown:
        raise SystemExit(f"{command[0]} started nothing: {said!r}")
    return {"service": service or ended, "shown": shown or ended, "cpu": usage.ru_utime + usage.ru_stime}


def _until(descriptor: int, wanted: bytes, began: float) -> float:
    """Return when the descriptor has said it, 0 when it does not."""
    seen = b""
    os.set_blocking(descriptor, False)
    while time.monotonic() - began < PATIENCE:
        with contextlib.suppress(BlockingIOError):
            seen += os.read(descriptor, 65536)
        if wanted in seen:
            return time.monotonic() - began
        time.sleep(0.0002)
    return 0.0


def _drain(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    seen = b""
    while chunk := os.read(descriptor, 65536):
        seen += chunk
    return seen


def main() -> None:
    options = read_options(__doc__, services=1)
    lines = [f"web0: echo . >first; echo {MARK.decode()}; exec sleep 3600"]
    lines += [f"web{number}: exec sleep 3600" for number in range(1, options.services)]
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        environment = enter_project(folder, lines)
        os.mkfifo("first")
        commands = {"python -c pass": NOTHING, **launchers()}
        samples = take_turns(commands, environment, options.rounds, measure)
        os.chdir("/")
    show(options, samples)


if __name__ == "__main__":
    main()
