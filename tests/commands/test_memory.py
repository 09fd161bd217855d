"""The memory of devrun: history, who, doctor."""

from __future__ import annotations

import os
import re
import socket
import time

import pytest

from devrun.state import open_state
from devrun.state.journal import KEPT_ROWS, JournalRow
from tests.support.leftovers import a_lease

QUIET = "ready(); rest()"
LISTENER = (
    "server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen();"
    "ready(port=server.getsockname()[1]); rest()"
)


@pytest.fixture
def shop(make_repository, monkeypatch):
    repository = make_repository("shop", {"services.yaml": "services: {web: {command: 'true', port: 4500}}\n"})
    monkeypatch.chdir(repository.path)
    return repository


@pytest.fixture
def server(processes):
    def start(cwd, code=QUIET, *arguments, **env):
        return processes.python(
            code, *arguments, cwd=cwd, env={**os.environ, "PWD": os.fspath(cwd), **env}, start_new_session=True
        )

    return start


def leased(repository, name, slot=1):
    path = repository.worktree(name)
    with open_state() as state:
        state.leases.put(a_lease(path, slot), {})
    return path


class TestHistory:
    def test_every_stop_and_release_is_there_with_its_evidence(self, shop, server, devrun):
        gone = leased(shop, "gone")
        child = server(gone)
        shop.remove(gone)
        assert devrun("history", "--json") == (0, [], "")
        assert devrun("sweep")[0] == 0
        stop, release = devrun("history", "--json")[1]
        assert (stop["pid"], stop["verb"], stop["action"], stop["outcome"]) == (
            child.pid,
            "sweep",
            "stop",
            "terminated",
        )
        assert (stop["reason"], stop["worktree"]) == ("worktree-gone", gone)
        assert gone in stop["detail"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stop["time"])
        assert (release["pid"], release["action"], release["worktree"]) == (None, "release", gone)
        lines = devrun("history")[1].splitlines()
        assert f"sweep: stopped {child.pid} " in lines[0]
        assert lines[1].endswith(f"released slot 1 of `{gone}`")

    def test_since_and_lines_choose(self, devrun):
        now = time.time()
        with open_state() as state:
            for number, age in enumerate((7200, 600, 1)):
                state.journal.record([JournalRow("sweep", number, action="stop", time=now - age)])
        pids = [row["pid"] for row in devrun("history", "--since", "30m", "--json")[1]]
        assert pids == [1, 2]
        assert [row["pid"] for row in devrun("history", "-n", "1", "--json")[1]] == [2]
        assert devrun("history", "--since", "yesterday-ish")[0] == 2

    def test_it_is_bounded(self, devrun):
        with open_state() as state:
            state.journal.record([JournalRow("sweep", number, action="stop") for number in range(KEPT_ROWS + 5)])
        assert len(devrun("history", "--json")[1]) == KEPT_ROWS

    def test_a_refused_guard_is_remembered(self, shop, server, devrun):
        child = server("/", LISTENER)
        shop.write({"services.yaml": f"services: {{web: {{command: 'true', port: {child.facts['port']}}}}}\n"})
        assert devrun("guard", "web")[0] == 3
        (row,) = devrun("history", "--json")[1]
        assert (row["verb"], row["pid"], row["action"], row["outcome"]) == ("guard", child.pid, "spare", None)
        assert f"left {child.pid} " in devrun("history")[1]


class TestWho:
    def test_it_names_the_holder_and_where_it_stands(self, shop, server, devrun):
        child = server(shop.path, LISTENER)
        port = child.facts["port"]
        code, data, _ = devrun("who", str(port), "--json")
        (row,) = data["holders"]
        assert (code, data["port"], row["pid"], row["worktree"]) == (0, port, child.pid, shop.path)
        assert (row["action"], row["reason"]) == ("report", "live-worktree")
        text = devrun("who", str(port))[1]
        assert text.startswith(f"{child.pid} `")
        assert f"listens on 127.0.0.1:{port}; stands in `{shop.path}`" in text

    def test_a_stamp_says_whose_service_it_is(self, shop, server, devrun):
        with open_state() as state:
            stamp = {"DEVRUN_RUN": "r0", "DEVRUN_SERVICE": "web", "DEVRUN_WORKTREE": shop.path}
            child = server("/", LISTENER, **stamp, DEVRUN_STATE_DIR=state.path)
        (row,) = devrun("who", str(child.facts["port"]), "--json")[1]["holders"]
        assert (row["service"], row["worktree"], row["reason"]) == ("web", shop.path, "unknown-run")

    def test_nobody_is_no_error_and_the_lease_is_told(self, shop, devrun):
        devrun("ports")
        code, out, said = devrun("who", "4500")
        assert (code, out) == (0, "")
        assert "nobody listens on 4500" in said
        assert f"port 4500 is leased to `web` of `{shop.path}` (slot 0)" in said

    def test_what_is_no_port_is_a_usage_error(self, devrun):
        assert devrun("who", "0")[0] == devrun("who", "65536")[0] == devrun("who", "web")[0] == 2


class TestDoctor:
    def messages(self, devrun):
        return {each["message"]: each for each in devrun("doctor", "--json")[1]["problems"]}

    def test_it_shows_what_a_sweep_would_do_and_why_not(self, shop, server, devrun, tmp_path):
        gone, live = leased(shop, "gone"), leased(shop, "live", 2)
        orphan, neighbour = server(gone), server(live)
        shop.remove(gone)
        code, data, _ = devrun("doctor", "--json")
        assert code == 0
        assert orphan.pid in {row["pid"] for row in data["would_stop"]}
        assert neighbour.pid not in {row["pid"] for row in data["would_stop"]}
        found = {(each["where"], each["message"]) for each in data["problems"]}
        assert (gone, "is gone, and still has slot 1") in found
        assert orphan.process.is_running()
        assert f"a sweep would stop {orphan.pid} " in devrun("doctor")[1]

    def test_other_state_folders_are_seen_in_stamps(self, shop, server, devrun):
        stamp = {"DEVRUN_RUN": "r0", "DEVRUN_SERVICE": "web", "DEVRUN_WORKTREE": shop.path}
        server("/", **stamp, DEVRUN_STATE_DIR=f"{shop.path}-elsewhere")
        places = [each["where"] for each in devrun("doctor", "--json")[1]["problems"]]
        assert f"{shop.path}-elsewhere" in places

    def test_colliding_names_in_env_files_and_aliasing_bases_are_warned_of(self, shop, devrun):
        shop.write({".env": "WEB_PORT=9\n", "services.yaml": "services: {web: {command: x, port: 4500}}\n"})
        found = [each for each in devrun("doctor", "--json")[1]["problems"] if "WEB_PORT" in each["message"]]
        assert found[0]["where"].endswith(".env:1:1")

    def test_a_held_port_is_told_when_nothing_runs_here(self, shop, server, devrun):
        child = server("/", LISTENER)
        port = child.facts["port"]
        shop.write({"services.yaml": f"services: {{web: {{command: 'true', port: {port}}}}}\n"})
        devrun("ports")
        assert f"port {port} (`web`) is held, and nothing of this worktree runs" in self.messages(devrun)

    def test_worktrees_that_are_not_there_and_clashing_leases_are_told(
        self, shop, make_repository, devrun, monkeypatch
    ):
        lost = shop.worktree("lost")
        os.rename(lost, f"{lost}-away")
        other = make_repository("other", {"services.yaml": "services: {web: {command: 'true', port: 4500}}\n"})
        devrun("ports")
        monkeypatch.chdir(other.path)
        devrun("ports")
        monkeypatch.chdir(shop.path)
        found = self.messages(devrun)
        assert any("git lists it, and it is not there" in message for message in found)
        assert any(message.startswith("port 4500: also of") for message in found)

    def test_a_broken_configuration_is_an_error_and_the_rest_is_still_looked_at(self, shop, devrun):
        shop.write({"services.yaml": "services: {web: {comand: x}}\n"})
        code, data, _ = devrun("doctor", "--json")
        assert code == 1
        assert [each["severity"] for each in data["problems"]].count("error") == 1

    def test_a_state_that_cannot_be_read_is_an_error(self, shop, devrun):
        with open_state() as state:
            path = os.path.join(state.path, "state.db")
        with open(path, "wb") as file:
            file.write(b"no database at all, and long enough to be taken for one" * 100)
        code, data, _ = devrun("doctor", "--json")
        assert code == 1
        assert any("corrupt" in each["message"] for each in data["problems"])

    def test_a_state_that_cannot_be_written_is_an_error(self, shop, devrun, monkeypatch):
        with open_state() as state:
            folder = state.path
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: folder not in str(path) and allowed(path, mode))
        code, data, _ = devrun("doctor", "--json")
        assert code == 1
        (found,) = [each for each in data["problems"] if "read-only" in each["message"]]
        assert (found["severity"], found["hint"]) == ("error", f"`chmod -R u+rwX {folder}`")

    def test_a_spinning_loser_is_called_out(self, shop, server, devrun, tmp_path):
        match = f"{tmp_path.name}/mint.js"
        shop.write({"services.yaml": f"services: {{docs: {{command: x, port: 4500, match: {match}}}}}\n"})
        child = server("/", "ready()\nwhile True: pass", f"/opt/{match}")
        found = self.messages(devrun)
        assert any(f"pid {child.pid} " in message and "listens nowhere" in message for message in found)
        assert f"pid {child.pid} " in devrun("ps", "--all")[2]

    def test_it_works_outside_of_any_project_and_in_a_deleted_folder(self, devrun, tmp_path, monkeypatch):
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert devrun("doctor")[0] == 0


def test_a_port_of_another_network_family_is_found(devrun):
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        server.listen()
        (row,) = devrun("who", str(server.getsockname()[1]), "--json")[1]["holders"]
    assert row["pid"] == os.getpid()
