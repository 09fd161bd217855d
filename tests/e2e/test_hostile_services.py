"""Whatever a service does to devrun, to its terminal or to what can be known of it: the run ends well and nothing stays."""

from __future__ import annotations

import json
import sys

import pytest

HIDE = """\
import ctypes, json, os, signal, sys, threading
libc = ctypes.CDLL(None)
def say():
    os.set_inheritable(os.open(sys.argv[2], os.O_WRONLY), True)
    with open(sys.argv[1], "a") as ready:
        ready.write(json.dumps({"shape": "hidden", "role": "hidden", "pid": os.getpid(), "port": None}) + "\\n")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
"""
"""A double-forked daemon, which then does its best not to be looked into."""
NOT_DUMPABLE = """\
        libc.prctl(4, 0, 0, 0, 0)
        say()
        while True: signal.pause()
signal.pause()
"""
WITHOUT_MAIN_THREAD = """\
        threading.Thread(target=lambda: (say(), threading.Event().wait())).start()
        libc.pthread_exit(None)
signal.pause()
"""


def configure(folder, command):
    service = {"command": command, "stop": {"timeout": 2}}
    (folder / "services.yaml").write_text(json.dumps({"services": {"web": service}}))


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="without subreapers nobody inherits such a daemon")
@pytest.mark.parametrize("way", [NOT_DUMPABLE, WITHOUT_MAIN_THREAD])
def test_a_daemon_of_which_little_can_be_read_is_stopped_with_its_run(way, tmp_path, handshake, up):
    """No environment, no folder, no namespaces: for others it counts, in the own tree it is no way to stay."""
    configure(tmp_path, [sys.executable, "-I", "-c", HIDE + way, handshake.ready_path, handshake.alive_path])
    run = up(cwd=tmp_path)
    handshake.wait(1)
    assert run.stop() == 130, run.output
    assert "left" not in run.output
    assert handshake.wait_gone()


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="what was stopped is only told by waitid(2)")
def test_the_end_of_a_service_that_stopped_its_whole_group_is_seen(tmp_path, up):
    """Its anchor stands in that group, too, and is the one who tells of the end."""
    configure(tmp_path, "(kill -STOP $PPID) & wait; kill -STOP $PPID; exit 7")
    run = up(cwd=tmp_path)
    assert run.wait() == 7, run.output


def test_a_service_that_spoils_the_state_under_its_run_delays_no_end(tmp_path, handshake, up):
    """What is not to be opened within a moment is left: the keeper takes a supervisor that waits for one that hangs."""
    spoil = ': > "$DEVRUN_STATE_DIR/state.db"; exec '
    configure(tmp_path, spoil + handshake.text("listener"))
    run = up(cwd=tmp_path)
    handshake.wait_shapes("listener")
    assert run.stop() == 130, run.output
    assert handshake.wait_gone()
