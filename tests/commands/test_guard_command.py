"""`devrun guard`, `sweep` and `reap` as people call them: exit codes, JSON, silence."""

from __future__ import annotations

import json
import os

import pytest

from devrun.cli import main
from tests.cleanup.conftest import listener, server, staged_run, state  # noqa: F401 - fixtures
from tests.support.processes import lives

ROW = {"pid", "command", "cwd", "worktree", "service", "action", "reason", "detail", "outcome"}


@pytest.fixture
def project(repository, monkeypatch):
    """Write services.yaml with the port given and go there."""

    def make(port, *, more=""):
        repository.write({"services.yaml": f"services:\n  web:\n    command: node x\n    port: {port}\n{more}"})
        monkeypatch.chdir(repository.path)
        return repository.path

    return make


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_guard_is_silent_and_0_when_the_way_is_clear(project, capsys, listener):  # noqa: F811
    free = listener("/")
    port = free.facts["port"]
    free.process.terminate()
    free.popen.wait()
    project(port)
    assert main(["guard", "web"]) == 0
    assert capsys.readouterr().out == ""


def test_guard_stops_a_stale_copy_and_says_why_and_how(project, repository, capsys, listener):  # noqa: F811
    stale = listener(repository.path)
    project(stale.facts["port"])
    assert main(["guard", "web", "--dry-run"]) == 0
    assert f"would stop {stale.pid}" in capsys.readouterr().out
    assert lives(stale.process)
    assert main(["guard", "web", "--json"]) == 0
    data = answer(capsys)
    assert (data["devrun"], data["kind"]) == (1, "guard")
    (service,) = data["data"]["services"]
    assert (service["service"], service["ports"], service["blocked"]) == ("web", [stale.facts["port"]], False)
    (row,) = service["processes"]
    assert set(row) == ROW
    assert (row["pid"], row["action"], row["outcome"]) == (stale.pid, "stop", "terminated")


def test_guard_refuses_a_stranger_with_3_and_a_hint(project, capsys, listener, tmp_path):  # noqa: F811
    stranger = listener(tmp_path)
    project(stranger.facts["port"])
    for dry in ([], ["--dry-run"]):
        assert main(["guard", "web", *dry]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert f"pid {stranger.pid}" in said.err
        assert "hint: `devrun guard web --force`" in said.err
    assert main(["guard", "web", "--json"]) == 3
    (row,) = answer(capsys)["data"]["services"][0]["processes"]
    assert (row["action"], row["reason"], row["outcome"]) == ("spare", "stranger", None)
    assert main(["guard", "web", "--force"]) == 0
    assert not lives(stranger.process)


def test_guard_of_an_unknown_service_is_a_usage_error(project, capsys):
    project(3000)
    assert main(["guard", "wep"]) == 2
    assert "did you mean `web`" in capsys.readouterr().err
    assert main(["guard"]) == 2


def test_a_dry_run_writes_no_state(project, capsys, isolated):
    project(1)
    assert main(["guard", "web", "-n"]) in (0, 3)
    assert main(["sweep", "-n"]) == 0
    assert main(["reap", "-n"]) == 0
    assert not os.path.exists(os.environ["DEVRUN_STATE_DIR"])


def test_sweep_tells_what_it_stopped_and_is_silent_the_second_time(repository, capsys, server, monkeypatch):  # noqa: F811
    path = repository.worktree("a", os.path.join(repository.path, "trees", "a"))
    orphan = server(path)
    repository.remove(path)
    repository.write(
        {"services.yaml": f"services: {{web: {{command: node x}}}}\nsweep: {{paths: ['{repository.path}/trees/*']}}\n"}
    )
    monkeypatch.chdir(repository.path)
    assert main(["sweep", "--dry-run"]) == 0
    assert f"would stop {orphan.pid} " in capsys.readouterr().out
    assert main(["sweep", "--explain"]) == 0
    said = capsys.readouterr().out
    assert f"stopped {orphan.pid} " in said
    assert "for: worktree-gone (proof)" in said
    assert main(["sweep"]) == 0
    assert f"{orphan.pid}" not in capsys.readouterr().out


def test_sweep_json_has_every_key(capsys):
    assert main(["sweep", "--json", "--dry-run"]) == 0
    assert set(answer(capsys)["data"]) == {"processes", "files", "leases", "skipped"}


def test_sweep_works_in_a_folder_that_was_deleted(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "x"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["sweep", "--dry-run"]) == 0
    monkeypatch.chdir("/")


def test_reap_of_the_current_worktree(repository, capsys, server, monkeypatch):  # noqa: F811
    mine = server(repository.path)
    monkeypatch.chdir(repository.path)
    assert main(["reap", "--json"]) == 0
    rows = {row["pid"]: row for row in answer(capsys)["data"]["processes"]}
    assert rows[mine.pid]["outcome"] == "terminated"
    assert main(["reap"]) == 0
    assert str(mine.pid) not in capsys.readouterr().out


def test_a_dry_run_is_refused_the_ports_that_the_act_is_refused(project, repository, capsys, monkeypatch):
    project(23_000)
    repository.git("add", "services.yaml")
    repository.git("commit", "-qm", "services")
    monkeypatch.setenv("DEVRUN_PIN_SLOT", "7")
    monkeypatch.chdir(repository.worktree("feature"))
    assert main(["port", "web"]) == 0
    monkeypatch.chdir(repository.worktree("other"))
    capsys.readouterr()
    for words in (["--dry-run"], []):
        assert main(["guard", "web", *words]) == 3
        assert "port 23070 belongs to" in capsys.readouterr().err
