"""Time from Ctrl-C to everything gone, devrun beside other launchers, on one Procfile.

    python -m benchmarks.stop [--services 10] [--rounds 20] [--json]

Each service is a `sleep` that holds the write end of one FIFO: end-of-file on the read end says that all
of them are gone.  `services` is the time to that, `everything` the time until the launcher has
ended as well.  SIGINT goes to the launcher alone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from functools import partial

from benchmarks.compare import Times, enter_project, launchers, read_options, show, take_turns

PATIENCE = 30.0


def measure(command: list[str], environment: dict[str, str], /, *, services: int) -> Times:
    """Start a launcher, wait until all services run, interrupt it, wait for the end."""
    ready = os.open("ready", os.O_RDONLY | os.O_NONBLOCK)
    alive = os.open("alive", os.O_RDONLY | os.O_NONBLOCK)
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await(ready, b"." * services)
        time.sleep(0.3)  # the launcher has come to rest, too
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        if not select.select([alive], [], [], PATIENCE)[0]:
            raise SystemExit(f"{command[0]}: services were left")
        gone = time.monotonic() - began
        child.wait(PATIENCE)
        return {"services": gone, "everything": time.monotonic() - began}
    finally:
        child.kill()
        child.wait()
        os.close(ready)
        os.close(alive)


def _await(descriptor: int, wanted: bytes) -> None:
    until = time.monotonic() + PATIENCE
    seen = b""
    while len(seen) < len(wanted):
        if time.monotonic() > until:
            raise SystemExit(f"{len(seen)} of {len(wanted)} services are ready")
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                seen += os.read(descriptor, 65536)
            except BlockingIOError:
                continue
        if len(seen) < len(wanted):
            time.sleep(0.002)  # a FIFO that nobody writes to is always at its end


def main() -> None:
    options = read_options(__doc__, services=10)
    line = "exec 9>alive; printf . >ready; exec sleep 3600"
    with tempfile.TemporaryDirectory(prefix="stop-") as folder:
        environment = enter_project(folder, [f"web{number}: {line}" for number in range(options.services)])
        for name in ("ready", "alive"):
            os.mkfifo(name)
        samples = take_turns(launchers(), environment, options.rounds, partial(measure, services=options.services))
        os.chdir("/")
    show(options, samples)


if __name__ == "__main__":
    main()
