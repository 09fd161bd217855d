"""What is weaker without Linux's helpers, as on macOS: pinned, because the README lists it.

The matrix itself runs on both paths (`test_matrix.py`, `platform`).  Here are the daemons that only
adoption finds: without it a daemon is known by its stamp alone.
"""

from __future__ import annotations

import json
import os
import shlex
import sys

import psutil
import pytest

from tests.support.processes import lives, wait_gone, wait_until

REST = "import signal; signal.pause()"
DAEMONS = {  # a double fork each, in a session of its own, with every descriptor closed
    "python": [sys.executable, "-I", "-c", REST],
    "python without an environment": ["env", "-i", sys.executable, "-I", "-c", REST],
    "system shell": ["/bin/sh", "-c", "while :; do read _ < /dev/null; wait; exec 3<>PIPE; read _ <&3; done"],
}
HIDDEN = {"python without an environment", "system shell"}
"""Where the stamp cannot be read: macOS shows nobody the environment of its own programs."""


@pytest.fixture
def daemonised(tmp_path, up):
    """Start a service that daemonises a command; return the run and the daemon."""
    os.mkfifo(tmp_path / "PIPE")

    def start(command):
        pidfile = tmp_path / "pid"
        inner = f"{shlex.join(command)} </dev/null >/dev/null 2>&1 & echo $! > pid.new; mv pid.new pid"
        text = f"setsid sh -c {shlex.quote(inner)}; sleep 1000"
        (tmp_path / "services.yaml").write_text(
            json.dumps({"services": {"starts": {"command": text, "stop": {"timeout": 1}}}})
        )
        run = up(cwd=tmp_path)
        wait_until(pidfile.exists, "the daemon is there")
        daemon = psutil.Process(int(pidfile.read_text()))
        itself = command[2:] if command[0] == "env" else command
        wait_until(lambda: daemon.cmdline() == itself, "the daemon is what it will be")
        return run, daemon

    return start


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_is_stopped_with_its_run(daemonised, platform, name):
    run, daemon = daemonised(DAEMONS[name])
    try:
        assert run.stop() == 130
        assert lives(daemon) == (platform == "portable" and name in HIDDEN)
    finally:
        if lives(daemon):
            daemon.kill()
        wait_gone([daemon])
