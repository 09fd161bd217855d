"""A low limit of open files, as macOS begins with, is no limit of services; one of processes is told."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys

import pytest

from tests.support.devrun import devrun

LOW = 90
SERVICES = 30
"""Each takes five descriptors of the supervisor."""


def test_more_services_than_the_limit_of_open_files_allows_run_and_have_the_limit_they_would_have(tmp_path, up):
    names = [f"s{number}" for number in range(SERVICES)]
    services = {name: {"command": "ulimit -n; read _", "ready": {"log": "."}} for name in names}
    services["last"] = {"command": "exit 9", "depends_on": names}
    (tmp_path / "services.yaml").write_text(json.dumps({"services": services}))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    run = up(cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LOW, hard)))
    assert run.wait() == 9
    assert run.output.count(f" | {LOW}\n") == SERVICES
    assert f"; stopped {SERVICES} services in " in run.output


@pytest.mark.parametrize("limit", [40, 64, 120])
def test_more_processes_than_the_limit_of_open_files_allows_to_hold_are_gone_after_ctrl_c(tmp_path, up, limit):
    """Each in a session of its own, deaf to a hang-up: nothing but a signal to each of them ends it."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "children = [os.fork() or (os.setsid(), signal.pause()) for _ in range(150)]\n"
        "print('all', flush=True)\n"
        "signal.pause()\n"
    )
    (tmp_path / "services.yaml").write_text(
        json.dumps({"services": {"web": {"command": [sys.executable, "-I", "-c", code]}}})
    )
    run = up(cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    run.read_until("| all")
    assert run.stop() == 130
    assert "interrupted; stopped web" in run.output


@pytest.mark.parametrize("words", [["up"], ["up", "-d"], ["ps", "--all"], ["sweep", "--dry-run"]])
def test_a_caller_who_allows_hardly_a_descriptor_is_told_so_and_no_bug_is_reported(tmp_path, words):
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": {"command": "true"}}}))
    for limit in range(6, 12):
        done = devrun(
            *words,
            cwd=str(tmp_path),
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        )
        assert done.returncode in {0, 1}, (limit, done.stderr)


@pytest.mark.parametrize("words", [["up"], ["up", "-d"], ["exec", "--", "true"]])
def test_a_system_without_a_process_left_is_told_so(tmp_path, words):
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": {"command": "true"}}}))
    refusing = tmp_path / "refusing"
    refusing.mkdir()
    (refusing / "sitecustomize.py").write_text(
        "import errno, os\ndef fork(): raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\nos.fork = fork\n"
    )
    done = devrun(*words, cwd=str(tmp_path), env={**os.environ, "PYTHONPATH": str(refusing)})
    assert done.returncode == 1
    assert f"error: no process can be started: {os.strerror(errno.EAGAIN).lower()}" in done.stderr
