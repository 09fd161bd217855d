"""A graceful stop is graceful: what needs 0.6 s after the signal finishes, whatever wraps it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3

import pytest

from tests.support.devrun import PROGRAM

WRAPPERS = {
    "exec": None,
    "sh": "sh -c {quoted}",
    "sh that stays": "sh -c {waiting}",
    "bash": "bash -c {waiting}",
    "npm": "npm run --silent drain",
    "npm with bash": "npm run --silent --script-shell=bash drain",
    "pnpm": "pnpm run --silent drain",
}
NODE = {"npm", "npm with bash", "pnpm"}


def services(wrapper, handshake):
    if wrapper is None:
        return {"command": handshake.argv("drain")}
    plain = handshake.text("drain")
    return {"command": wrapper.format(quoted=shlex.quote(plain), waiting=shlex.quote(f"{plain}; exit $?"))}


def arrange(tmp_path, name, handshake):
    (tmp_path / "package.json").write_text(
        json.dumps({"name": "drains", "private": True, "scripts": {"drain": handshake.text("drain")}})
    )
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"slow": services(WRAPPERS[name], handshake)}}))


NAMES = [pytest.param(name, marks=[pytest.mark.node] if name in NODE else []) for name in WRAPPERS]


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_lets_a_service_drain(name, tmp_path, handshake, terminal):
    arrange(tmp_path, name, handshake)
    shown = terminal([PROGRAM, "up"], cwd=tmp_path)
    handshake.wait_shapes("drain")
    shown.interrupt()
    assert shown.wait() == 130
    assert re.search(r"^slow +\| drained$", shown.text, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_term_lets_a_service_drain(name, tmp_path, handshake, up):
    arrange(tmp_path, name, handshake)
    run = up(cwd=tmp_path)
    handshake.wait_shapes("drain")
    assert run.stop(signal.SIGTERM) == 143
    assert re.search(r"^slow +\| drained$", run.output, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_closing_the_terminal_lets_a_service_drain_into_its_log(name, tmp_path, handshake, terminal):
    arrange(tmp_path, name, handshake)
    shown = terminal([PROGRAM, "up"], cwd=tmp_path)
    handshake.wait_shapes("drain")
    shown.hang_up()
    assert shown.wait() == 129
    logs = [path.read_text() for path in tmp_path.glob("devrun-state/runs/*/logs/slow.log")]
    assert ["drained" in text for text in logs] == [True]


def test_a_service_that_joined_later_has_its_own_grace_however_short_the_others_is(session):
    slow = {"shape": "drain --drain 3", "profiles": ["later"], "stop": {"timeout": 20}}  # the run began with 0.2 s
    session.services(web={"shape": "listener", "stop": {"timeout": 0.2}}, slow=slow)
    session.json("up", "-d", "--wait")
    session.json("up", "-d", "--wait", "slow")
    session.handshake.wait(2)
    done = session("down")
    assert (done.returncode, done.stderr) == (0, "")
    assert "slow | drained" in session("logs", "slow").stdout.splitlines()


def test_somebody_who_holds_the_lock_of_the_state_keeps_no_service_from_its_drain(session, up):
    """A command that was stopped by Ctrl-Z in the middle of a write, for one."""
    session.services(web={"shape": "drain", "stop": {"timeout": 4}}, api={"shape": "drain", "stop": {"timeout": 4}})
    run = up(cwd=session.path)
    session.handshake.wait(2)
    with contextlib.closing(sqlite3.connect(os.path.join(os.environ["DEVRUN_STATE_DIR"], "state.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert run.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert {"web | drained", "api | drained"} <= set(run.output.splitlines())
