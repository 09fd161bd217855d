from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from dotenv import dotenv_values

from devrun.model import ProcessIdentity, RunRecord
from devrun.state import open_state
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system import sockets
from devrun.system.locks import FileLock
from tests.support.repositories import git

SERVICES = """\
services:
  web: {command: "true", port: 3000, ports: {hmr: 3100}}
  api: {command: "true", port: 3001, port_env: API_BASE}
  worker: {command: "true"}
"""


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch):
    monkeypatch.setattr(sockets, "can_bind", lambda _port: True)


@pytest.fixture
def shop(make_repository, monkeypatch):
    repository = make_repository("shop", {"services.yaml": SERVICES})
    monkeypatch.chdir(repository.path)
    return repository


def test_ports_shows_slot_offset_and_every_service(shop, devrun):
    code, answer, said = devrun("ports", "--json")
    assert (code, said) == (0, "")
    assert answer == {
        "worktree": shop.path,
        "slot": 0,
        "offset": 0,
        "services": {
            "web": {
                "port": 3000,
                "url": "http://localhost:3000",
                "ports": {"hmr": {"port": 3100, "url": "http://localhost:3100"}},
            },
            "api": {"port": 3001, "url": "http://localhost:3001"},
            "worker": {"port": None, "url": None},
        },
    }


def test_ports_of_a_linked_worktree_are_its_own_and_stay(shop, devrun, monkeypatch):
    devrun("ports")
    monkeypatch.chdir(shop.worktree("feature"))
    first = devrun("ports", "--json")[1]
    assert first["slot"] > 0
    assert first["services"]["web"]["port"] == 3000 + first["offset"]
    git("switch", "-q", "--detach", cwd=os.getcwd())
    assert devrun("ports", "--json")[1] == first


def test_ports_follow_git_worktree_move(shop, devrun, monkeypatch, tmp_path):
    path = shop.worktree("feature")
    monkeypatch.chdir(path)
    before = devrun("ports", "--json")[1]
    monkeypatch.chdir(shop.path)
    shop.git("worktree", "move", path, str(tmp_path / "elsewhere"))
    listed = devrun("ports", "--all", "--json")[1]
    assert [each["worktree"] for each in listed if each["slot"]] == [str(tmp_path / "elsewhere")]
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert devrun("ports", "--json")[1] == {**before, "worktree": str(tmp_path / "elsewhere")}


def test_ports_all_shows_three_repositories_and_a_dozen_worktrees(make_repository, devrun, monkeypatch):
    for name in ("shop", "blog", "docs"):
        repository = make_repository(name, {"services.yaml": SERVICES})
        for path in (repository.path, *(repository.worktree(f"{name}-{number}") for number in range(3))):
            monkeypatch.chdir(path)
            assert devrun("ports")[0] == 0
    listed = devrun("ports", "--all", "--json")[1]
    assert len(listed) == 12
    ports = [each["services"]["web"]["port"] for each in listed if each["slot"]]
    assert len(ports) == len(set(ports)) == 9
    assert len(devrun("ports", "--all")[1].splitlines()) == 13


@pytest.mark.parametrize("words", [("ports", "--all"), ("worktree", "list")])
def test_reading_verbs_make_no_state(shop, devrun, tmp_path, words):
    assert devrun(*words)[0] == 0
    assert not os.path.exists(tmp_path / "devrun-state")


def test_port_and_url_print_one_word(shop, devrun):
    assert devrun("port", "api")[:2] == (0, "3001\n")
    assert devrun("port", "web:hmr")[:2] == (0, "3100\n")
    assert devrun("url", "web")[:2] == (0, "http://localhost:3000\n")
    assert devrun("port", "api", "--json")[1] == {"service": "api", "name": None, "port": 3001}
    assert devrun("url", "web:hmr", "--json")[1]["url"] == "http://localhost:3100"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("wbe", "no service is called `wbe`", "did you mean `web`?"),
        ("zzzz", "no service is called `zzzz`", "known are `web`, `api`, `worker`"),
        ("worker", "`worker` has no port", "port:"),
        ("web:hrm", "no port named `hrm`", "`web:hmr`"),
        ("api:hmr", "no port named `hmr`", "give `api` `ports: {hmr: …}`"),
    ],
)
def test_a_port_that_does_not_exist_is_explained(shop, devrun, word, message, hint):
    code, _, said = devrun("port", word)
    assert code == 2
    assert message in said
    assert hint in said


def test_of_a_formation_the_first_is_meant_where_one_is_as_in_templates(make_repository, devrun, monkeypatch):
    lines = 'procfile: Procfile\nformation: web=2\nservices: {api: {command: "echo ${web.port}"}}\n'
    monkeypatch.chdir(make_repository("many", {"Procfile": "web: true\n", "services.yaml": lines}).path)
    note = "`web` has 2 instances, this is `web.1`\n"
    assert devrun("port", "web") == (0, "5000\n", note)
    assert devrun("url", "web") == (0, "http://localhost:5000\n", note)
    assert devrun("port", "web", "--json")[1]["service"] == "web.1"
    assert devrun("port", "web.2") == (0, "5001\n", "")
    _, answer, _ = devrun("guard", "web", "--dry-run", "--json")
    assert [each["service"] for each in answer["services"]] == ["web.1", "web.2"]


class TestEnv:
    def variables(self, devrun):
        return devrun("env", "--json")[1]

    def test_it_prints_the_ports_of_all_and_says_for_whom(self, shop, devrun):
        assert self.variables(devrun) == {
            "DEVRUN_SLOT": "0",
            "DEVRUN_OFFSET": "0",
            "WEB_PORT": "3000",
            "WEB_URL": "http://localhost:3000",
            "WEB_HMR_PORT": "3100",
            "WEB_HMR_URL": "http://localhost:3100",
            "API_PORT": "3001",
            "API_URL": "http://localhost:3001",
            "API_BASE": "3001",
            "DEVRUN_ENV": shop.path,
        }

    def test_a_shell_and_a_dotenv_parser_read_back_what_json_says(self, make_repository, devrun, monkeypatch, tmp_path):
        odd = make_repository('it\'s $HOME \\ "odd" `x`', {"services.yaml": SERVICES})
        monkeypatch.chdir(odd.path)
        wanted = self.variables(devrun)
        script = f'{devrun("env")[1]}\n"$0" -c "import json, os; print(json.dumps(dict(os.environ)))"'
        clean = {"PATH": os.environ["PATH"]}
        shown = subprocess.run(["sh", "-c", script, sys.executable], env=clean, capture_output=True, check=True)
        assert wanted.items() <= json.loads(shown.stdout).items()
        (tmp_path / "ports.env").write_text(devrun("env", "--format", "dotenv")[1])
        assert dotenv_values(tmp_path / "ports.env", interpolate=False) == wanted
        assert json.loads(devrun("env", "--format", "json")[1]) == wanted

    def test_evaluating_it_twice_or_elsewhere_changes_nothing(self, shop, devrun, monkeypatch):
        main_checkout = self.variables(devrun)
        path = shop.worktree("feature")
        monkeypatch.chdir(path)
        linked = self.variables(devrun)
        assert linked != main_checkout
        for name, value in main_checkout.items():
            monkeypatch.setenv(name, value)
        assert self.variables(devrun) == linked
        for name, value in linked.items():
            monkeypatch.setenv(name, value)
        assert self.variables(devrun) == linked

    def test_the_base_may_come_from_a_variable_of_the_users(self, shop, devrun, monkeypatch):
        monkeypatch.setenv("API_BASE", "4500")
        assert self.variables(devrun)["API_PORT"] == "4500"

    def test_a_base_from_a_variable_survives_the_evaluation(self, shop, devrun, monkeypatch):
        monkeypatch.setenv("API_BASE", "4500")
        monkeypatch.chdir(shop.worktree("feature"))
        linked = self.variables(devrun)
        assert linked["API_PORT"] == str(4500 + int(linked["DEVRUN_OFFSET"]))
        for name, value in linked.items():
            monkeypatch.setenv(name, value)
        assert self.variables(devrun) == linked
        monkeypatch.chdir(shop.path)
        assert self.variables(devrun)["API_PORT"] == "4500"

    def test_a_name_no_shell_can_hold_is_left_out(self, make_repository, devrun, monkeypatch):
        odd = make_repository("odd", {"services.yaml": 'services: {3d: {command: "true", port: 3000}}\n'})
        monkeypatch.chdir(odd.path)
        assert "export 3D_PORT" not in devrun("env")[1]
        assert "# 3D_PORT" in devrun("env")[1]


class TestWorktree:
    def test_add_lets_git_add_and_shows_the_ports(self, shop, devrun, tmp_path):
        code, answer, _ = devrun("worktree", "add", "-b", "feature", "../feature", "--json")
        assert code == 0
        assert (answer["path"], answer["branch"]) == (str(tmp_path / "feature"), "feature")
        assert answer["slot"] > 0
        assert answer["ports"]["web"] == 3000 + 10 * answer["slot"]
        assert shop.git("branch", "--list", "feature")

    def test_add_without_a_path_is_a_usage_error(self, shop, devrun):
        assert devrun("worktree", "add")[0] == 2

    def test_add_says_when_git_refuses(self, shop, devrun, tmp_path):
        shop.worktree("feature")
        code, _, said = devrun("worktree", "add", "../feature")
        assert code == 1
        assert "git did not add the worktree" in said

    def test_add_of_a_branch_without_configuration_still_adds(self, repository, devrun, monkeypatch, tmp_path):
        monkeypatch.chdir(repository.path)
        code, answer, said = devrun("worktree", "add", "../feature", "--json")
        assert (code, answer["slot"]) == (0, None)
        assert "no ports yet" in said
        assert os.path.isdir(tmp_path / "feature")

    def test_list_shows_what_git_lists_with_slots_and_runs(self, shop, devrun):
        path = shop.worktree("feature")
        devrun("ports")
        with open_state() as state:
            folder = state.runs.make_folder("r1")
            locks = [FileLock.take(os.path.join(folder, name)) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)]
            nobody = ProcessIdentity(2**22, 1)
            identity = os.path.join(shop.path, ".git")
            state.runs.publish(RunRecord("r1", shop.path, identity, nobody, nobody, "-", 1.0))
        listed = devrun("worktree", "list", "--json")[1]
        for lock in locks:
            lock.close()
        ports = {"web": 3000, "web:hmr": 3100, "api": 3001}
        assert listed == [
            {"path": shop.path, "branch": "main", "slot": 0, "run": "r1", "ports": ports, "rss": 0},
            {"path": path, "branch": "feature", "slot": None, "run": None, "ports": {}, "rss": None},
        ]
        assert len(devrun("worktree", "list")[1].splitlines()) == 3

    @pytest.mark.parametrize("beside", [False, True], ids=["in the bare repository", "beside .bare"])
    def test_a_bare_repository_has_worktrees_without_a_main_checkout(self, shop, devrun, monkeypatch, tmp_path, beside):
        hub = tmp_path / "hub"
        bare = hub / ".bare" if beside else hub
        git("clone", "-q", "--bare", shop.path, str(bare), cwd=tmp_path)
        if beside:
            (hub / ".git").write_text("gitdir: ./.bare\n")
        monkeypatch.chdir(hub)
        assert devrun("worktree", "list", "--json")[1] == []
        code, answer, _ = devrun("worktree", "add", "-b", "one", "../one", "--json")
        assert (code, answer["branch"]) == (0, "one")
        assert answer["slot"] > 0
        assert [each["path"] for each in devrun("worktree", "list", "--json")[1]] == [str(tmp_path / "one")]
        assert devrun("worktree", "remove", "one", "--json")[0] == 0
        assert not (tmp_path / "one").exists()
        assert devrun("worktree", "remove", str(bare))[0] == 3
        assert bare.exists()

    def test_list_outside_git_is_a_usage_error(self, devrun, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        code, _, said = devrun("worktree", "list")
        assert code == 2
        assert "not in a git worktree" in said


@pytest.mark.parametrize(
    "words", [("ports",), ("port", "web"), ("url", "web"), ("env",), ("worktree", "list"), ("worktree", "add", "../x")]
)
def test_a_deleted_current_folder_is_one_clear_error(tmp_path, monkeypatch, devrun, words):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, said = devrun(*words)
    assert code == 2
    assert "was it deleted?" in said
    assert "hint: " in said


def test_ports_all_works_in_a_deleted_folder(shop, devrun, tmp_path, monkeypatch):
    devrun("ports")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert shop.path in devrun("ports", "--all")[1]


def test_a_lease_of_a_removed_worktree_is_still_shown_by_its_last_path(shop, devrun, monkeypatch):
    path = shop.worktree("feature")
    monkeypatch.chdir(path)
    devrun("ports")
    monkeypatch.chdir(shop.path)
    shutil.rmtree(path)
    assert path in devrun("ports", "--all")[1]


def test_an_unusable_state_folder_is_one_clear_error(shop, devrun, monkeypatch):
    monkeypatch.setenv("DEVRUN_STATE_DIR", "/proc/devrun")
    code, answer, _ = devrun("ports", "--json")
    assert code == 1
    assert "/proc/devrun" in answer["message"]
    assert answer["hint"]
