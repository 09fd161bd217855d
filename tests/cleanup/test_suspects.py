"""Suspects: a kind of process without a live owner above it is reported, and never stopped."""

from __future__ import annotations

import json
import os
import sys

import pytest

from devrun.cleanup import sweep
from devrun.cli import main
from devrun.config.project import Suspect, SweepSettings
from tests.support.leftovers import a_lease, executable_named, mine
from tests.support.processes import lives

QUIET = "ready(); rest()"
PYTHON = os.path.realpath(sys.executable)
LEAF = "import os, signal, sys; os.write(int(sys.argv[2]), str(os.getpid()).encode()); signal.pause()"
CHAIN = (
    "import os, sys\n"
    "for _ in range(int(sys.argv[1])):\n"
    "    pid = os.fork()\n"
    "    if pid: os.waitpid(pid, 0); os._exit(0)\n"
    f"os.execv(sys.executable, [sys.executable, '-I', '-c', {LEAF!r}, sys.argv[3], sys.argv[2]])\n"
)
OWNER = (
    "r, w = os.pipe(); os.set_inheritable(w, True)\n"
    "if not os.fork(): os.execv(sys.argv[2], [sys.argv[2], '-I', '-c', sys.argv[4], sys.argv[1], str(w), sys.argv[3]])\n"
    "pid = int(os.read(r, 20)); ready(child=pid); rest()"
)


@pytest.fixture
def script(tmp_path):
    """The `match` of this test's own kind."""
    return f"{tmp_path.name}/dist/server.js"


def suspects(script, **facts):
    known = {"owner": ("claude",), "runtime": "python", "hops": 8}
    return SweepSettings(suspects=(Suspect("mcp", script, **{**known, **facts}),))


@pytest.fixture
def owned(processes, tmp_path, monkeypatch, script):
    """Start a suspect below an owner called `name`, with `between` processes between the two."""

    def start(name="claude", between=0):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", executable_named(tmp_path, name))
            return processes.python(OWNER, str(between), PYTHON, f"/opt/{script}", CHAIN)

    return start


def reported(report):
    return {each.record.pid: each for each in report.spared if each.verdict.value == "report"}


def test_a_suspect_without_an_owner_is_reported_with_its_command_and_lives(state, server, owned, script, tmp_path):
    alone, below = server(tmp_path, QUIET, f"/opt/{script}"), owned()
    report = sweep(state, settings=suspects(script))
    assert not mine(report, alone, below)
    rows = reported(report)
    assert alone.pid in rows
    assert f"`kill {alone.pid}` would stop it" in rows[alone.pid].detail
    assert below.facts["child"] not in rows
    assert lives(alone.process)


def test_the_owner_counts_within_so_many_ancestors(state, owned, script):
    near, far = owned(between=1), owned(between=3)
    rows = reported(sweep(state, settings=suspects(script, hops=2)))
    assert near.facts["child"] not in rows
    assert far.facts["child"] in rows
    assert far.facts["child"] not in reported(sweep(state, settings=suspects(script, hops=4)))


def test_another_owner_and_another_runtime_do_not_count(state, owned, script):
    below = owned(name="ordinary")
    assert below.facts["child"] in reported(sweep(state, settings=suspects(script)))
    assert below.facts["child"] not in reported(sweep(state, settings=suspects(script, owner=("ordinary",))))
    assert below.facts["child"] not in reported(sweep(state, settings=suspects(script, runtime="bun")))


def test_a_suspect_is_never_stopped_even_when_it_is_an_orphan(state, repository, server, script):
    path = repository.worktree("a")
    state.leases.put(a_lease(path), {})
    both, orphan = server(path, QUIET, f"/opt/{script}"), server(path)
    repository.remove(path)
    report = sweep(state, settings=suspects(script))
    assert mine(report, both, orphan) == {orphan.pid}
    assert both.pid in reported(report)
    assert lives(both.process)


def test_plain_text_is_silent_about_suspects_and_json_and_explain_are_not(
    repository, server, script, monkeypatch, capsys
):
    config = (
        f"services: {{web: {{command: x}}}}\nsweep: {{suspects: [{{name: mcp, match: {script}, owner: claude}}]}}\n"
    )
    repository.write({"services.yaml": config})
    alone = server(repository.path, QUIET, f"/opt/{script}")
    monkeypatch.chdir(repository.path)
    assert main(["sweep", "--dry-run"]) == 0
    assert str(alone.pid) not in capsys.readouterr().out
    assert main(["sweep", "--dry-run", "--explain"]) == 0
    assert f"report {alone.pid}" in capsys.readouterr().out
    assert main(["sweep", "--dry-run", "--json"]) == 0
    rows = {each["pid"]: each for each in json.loads(capsys.readouterr().out)["data"]["processes"]}
    assert (rows[alone.pid]["action"], rows[alone.pid]["reason"]) == ("report", "suspect")
