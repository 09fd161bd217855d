"""Losers of a port race that spin are called out; who listens, idles or only mentions the words is not."""

from __future__ import annotations

import pytest

from devrun.cleanup.spinning import find_spinning
from tests.support.leftovers import LISTENER

SPIN = "ready()\nwhile True: pass"
QUIET = "ready(); rest()"
LISTENS_AND_SPINS = LISTENER.replace("rest()", "\nwhile True: pass")


@pytest.fixture
def match(tmp_path):
    return f"{tmp_path.name}/mint.js"


def spinners(match, service="docs"):
    return {each.record.pid: each for each in find_spinning({service: match, "other": None})}


def test_a_matched_process_without_a_listener_that_burns_a_core_is_called_out(server, match, tmp_path):
    loser, idle = server(tmp_path, SPIN, f"/opt/{match}"), server(tmp_path, QUIET, f"/opt/{match}")
    winner = server(tmp_path, LISTENS_AND_SPINS, "0", f"/opt/{match}")
    stranger = server(tmp_path, SPIN)
    found = spinners(match)
    assert found.keys() & {loser.pid, idle.pid, winner.pid, stranger.pid} == {loser.pid}
    assert (found[loser.pid].service, found[loser.pid].cpu > 0) == ("docs", True)
    assert "listens nowhere" in found[loser.pid].words


def test_a_worker_of_a_server_that_listens_is_no_loser(server, match, tmp_path):
    code = LISTENER.replace("ready(", "pid = os.fork()\nwhile not pid: pass\nready(child=pid, ", 1)
    tree = server(tmp_path, code, "0", f"/opt/{match}")
    assert not spinners(match).keys() & {tree.pid, tree.facts["child"]}


def test_without_a_match_nobody_is_looked_at():
    assert find_spinning({"web": None, "api": ""}) == ()
