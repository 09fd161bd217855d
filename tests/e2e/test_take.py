"""`devrun take`: a worktree runs on the main checkout's plain ports, and gives them back however it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess

import pytest

from tests.support.arena import free_base
from tests.support.devrun import PROGRAM, devrun, devrun_json
from tests.support.processes import lives, wait_until


class Shop:
    """A repository whose service `web` listens, with two linked worktrees; `close` ends what runs there."""

    def __init__(self, repository, handshake):
        self.handshake = handshake
        self.main = repository.path
        self.base = free_base()
        web = {"command": handshake.argv("listener"), "port": self.base, "stop": {"timeout": 2}}
        api = {"command": handshake.argv("listener"), "port": self.base + 11, "stop": {"timeout": 2}}
        repository.commit({"services.yaml": json.dumps({"services": {"web": web, "api": api}})})
        self.feature, self.other = repository.worktree("feature"), repository.worktree("other")

    def port(self, where, service="web"):
        return int(devrun("port", service, cwd=where).stdout)

    def close(self):
        for where in (self.main, self.feature, self.other):
            assert devrun("down", cwd=where).returncode == 0


@pytest.fixture
def shop(repository, handshake):
    made = Shop(repository, handshake)
    yield made
    made.close()


def refused(*words, cwd):
    done = devrun(*words, cwd=cwd)
    assert done.returncode == 3, done.stderr
    return done.stderr


def test_a_worktree_has_the_plain_ports_while_its_run_lives_and_its_own_again_after(shop):
    own = shop.port(shop.feature)
    assert own != shop.base
    started = devrun_json("take", "-d", "--wait", cwd=shop.feature)
    assert {row["name"]: row["port"] for row in started["services"]} == {"web": shop.base, "api": shop.base + 11}
    (one, two) = shop.handshake.wait(2)
    assert {one.port, two.port} == {shop.base, shop.base + 11}
    assert shop.port(shop.feature) == shop.base
    assert devrun("url", "web", cwd=shop.feature).stdout.strip() == f"http://localhost:{shop.base}"
    said = devrun_json("env", cwd=shop.feature)
    assert (said["WEB_PORT"], said["DEVRUN_SLOT"], said["DEVRUN_OFFSET"]) == (str(shop.base), "0", "0")
    ran = devrun("exec", "--", "sh", "-c", "echo $API_PORT", cwd=shop.feature)
    assert ran.stdout.strip() == str(shop.base + 11)
    shown = devrun_json("ports", cwd=shop.feature)
    assert (shown["slot"], shown["services"]["web"]["port"]) == (0, shop.base)
    assert all(row["ready"] for row in devrun_json("ps", cwd=shop.feature)["services"])
    assert devrun_json("take", "-d", cwd=shop.feature)["status"] == "already_running"
    assert devrun("down", cwd=shop.feature).returncode == 0
    assert shop.port(shop.feature) == own
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", shop.base))


def test_it_is_refused_by_name_while_the_main_checkout_runs_whatever_it_runs(shop):
    devrun_json("up", "-d", "--wait", "api", cwd=shop.main)
    own = shop.port(shop.feature)
    for words in (["take", "web"], ["take", "-d"]):
        said = refused(*words, cwd=shop.feature)
        assert f"`{shop.main}`" in said
        assert "devrun down" in said
    assert shop.port(shop.feature) == own
    assert shop.port(shop.main) == shop.base
    assert devrun("down", cwd=shop.main).returncode == 0
    devrun_json("take", "-d", "--wait", "web", cwd=shop.feature)


def test_while_they_are_taken_the_main_checkout_and_the_siblings_are_refused_by_name(shop):
    devrun_json("take", "-d", "--wait", "web", cwd=shop.feature)
    for where, words in (
        (shop.main, ["up", "api"]),
        (shop.main, ["up", "-d"]),
        (shop.main, ["exec", "--", "true"]),
        (shop.other, ["take"]),
    ):
        said = refused(*words, cwd=where)
        assert f"`{shop.feature}` has taken the plain ports (pid " in said
    devrun_json("up", "-d", "--wait", cwd=shop.other)  # on its own
    assert devrun("down", cwd=shop.feature).returncode == 0
    devrun_json("up", "-d", "--wait", cwd=shop.main)


def test_a_run_on_its_own_ports_is_not_taken_for_one_that_took_them(shop):
    devrun_json("up", "-d", "--wait", "web", cwd=shop.feature)
    assert "on its own ports" in refused("take", "-d", cwd=shop.feature)
    devrun_json("take", "-d", "--wait", "--replace", "web", cwd=shop.feature)
    assert shop.port(shop.feature) == shop.base
    devrun_json("up", "-d", "--wait", "--replace", "web", cwd=shop.feature)
    assert shop.port(shop.feature) != shop.base


@pytest.mark.parametrize("words", [[], ["-d", "--replace"]])
@pytest.mark.parametrize("runs", [False, True])
def test_the_main_checkout_has_nothing_to_take(shop, words, runs):
    if runs:
        devrun_json("up", "-d", "--wait", "web", cwd=shop.main)
    done = devrun("take", *words, cwd=shop.main)
    assert done.returncode == 2
    assert "has the plain ports already" in done.stderr
    assert (devrun_json("ps", cwd=shop.main)["run"] is not None) == runs


def test_a_run_on_its_own_ports_goes_on_when_there_is_nothing_to_take(shop):
    devrun_json("up", "-d", "--wait", "api", cwd=shop.main)
    before = devrun_json("up", "-d", "--wait", "web", cwd=shop.feature)
    assert f"`{shop.main}`" in refused("take", "-d", "--replace", "web", cwd=shop.feature)
    assert devrun_json("ps", cwd=shop.feature)["run"]["id"] == before["run"]


def test_a_stranger_on_a_plain_port_is_refused_with_a_command_that_clears_it(shop, processes):
    shop.port(shop.main)
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(shop.base), cwd="/"
    )
    said = refused("take", "-d", "web", cwd=shop.feature)
    hint = f"cd {shop.main} && devrun guard web --force"
    assert f"hint: `{hint}` stops it" in said
    assert devrun("guard", "web", "--force", "--dry-run", cwd=shop.main).stdout.startswith(
        f"would stop {stranger.pid} "
    )
    assert lives(stranger.process)


def test_ports_of_a_run_that_was_killed_are_free_for_the_main_checkout(shop, up):
    taken = up("web", argv=(PROGRAM, "take"), cwd=shop.feature)
    (web,) = shop.handshake.wait(1)
    assert web.port == shop.base
    taken.send(signal.SIGKILL)
    taken.wait()
    wait_until(lambda: not lives(web.process), "its service ends")
    wait_until(lambda: shop.port(shop.feature) != shop.base, "its own ports are back")
    devrun_json("up", "-d", "--wait", "web", cwd=shop.main)


def test_of_a_start_of_the_main_checkout_and_two_that_take_at_once_one_has_the_ports(shop):
    starts = [
        subprocess.Popen(
            [PROGRAM, *words, "-d", "--wait"], cwd=where, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for where, words in ((shop.main, ["up", "api"]), (shop.feature, ["take", "web"]), (shop.other, ["take", "web"]))
    ]
    ends = [(each.communicate(timeout=60)[1], each.returncode) for each in starts]
    codes = sorted(code for _, code in ends)
    assert codes == [0, 3, 3], ends
