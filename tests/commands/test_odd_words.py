"""Words that a script got wrong: an empty variable, a folder where a file is meant.  Nobody is stopped for them."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.support.devrun import devrun, devrun_json
from tests.support.processes import lives

CONFIG = "services:\n  web: {{command: {web}}}\n"
QUIET = "ready(); rest()"


@pytest.fixture
def shop(make_repository, handshake):
    """A repository whose one service reports when it is up."""
    return make_repository("shop", {"services.yaml": CONFIG.format(web=json.dumps(handshake.text("listener")))})


@pytest.mark.parametrize(
    "words", [("worktree", "remove"), ("worktree", "remove", "--force"), ("worktree", "add"), ("reap",)]
)
def test_a_path_that_is_empty_is_not_the_current_folder(shop, processes, words):
    path = shop.worktree("feature")
    server = processes.python(QUIET, cwd=path, env={**os.environ, "PWD": path}, start_new_session=True)
    done = devrun(*words, "", cwd=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: `devrun {' '.join(words[:2])}` ")
    assert path in shop.git("worktree", "list")
    assert lives(server.process)


def test_a_folder_is_no_configuration_and_names_no_other_worktree(shop, handshake):
    inner = shop.worktree("feature", os.path.join(shop.path, ".worktrees", "feature"))
    os.mkdir(os.path.join(inner, "folder"))
    devrun_json("up", "-d", cwd=shop.path)
    (service,) = handshake.wait_shapes("listener")
    for verb, named in (
        ("down", "."),
        ("down", ""),
        ("down", "./"),
        ("down", "folder"),
        ("ps", "."),
        ("logs", "."),
        ("wait", "."),
    ):
        done = devrun(verb, "--file", named, cwd=inner)
        assert (done.returncode, done.stdout) == (2, ""), verb
        assert "is a folder, not a file" in done.stderr
    assert lives(service.process)
    devrun_json("down", cwd=shop.path)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take no name that is no text")
def test_a_worktree_whose_path_is_no_text_is_listed_diagnosed_and_removed(shop, processes):
    path = shop.worktree("feature", os.path.join(os.path.dirname(shop.path), os.fsdecode(b"caf\xe9")))
    server = processes.python(QUIET, cwd=path, env={**os.environ, "PWD": path}, start_new_session=True)
    for cwd in (shop.path, path):
        rows = devrun_json("worktree", "list", cwd=cwd)
        assert [(row["branch"], row["slot"]) for row in rows] == [("main", None), ("feature", None)]
        assert devrun("doctor", "--json", cwd=cwd).returncode == 0
    removal = devrun_json("worktree", "remove", path, cwd=shop.path)
    assert removal["removed"]
    assert [row["pid"] for row in removal["processes"] if row["action"] == "stop"] == [server.pid]
    assert not os.path.lexists(path)
    again = devrun("worktree", "remove", "--json", path, cwd=shop.path)
    assert (again.returncode, json.loads(again.stdout)["data"]["removed"]) == (0, False)
