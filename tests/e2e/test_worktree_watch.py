"""A worktree that goes away under a run ends it; one that git moves does not.  Nor does devrun need its own files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig

import pytest

from devrun.model import FileId
from devrun.run.plan import PULSE
from devrun.worktrees.locate import locate
from devrun.worktrees.survey import worktree_is_gone
from tests.support.arena import supervisor_of
from tests.support.devrun import devrun_json
from tests.support.processes import ABSENCE_WINDOW, nothing_happens, wait_until
from tests.support.readme import ROOT
from tests.support.session import Session


def two_looks():
    """Let the watch of the worktree look twice at least."""
    for _ in range(int(2 * PULSE / ABSENCE_WINDOW) + 1):
        nothing_happens()


@pytest.fixture
def running(repository, handshake, up):
    """Start a run with a tree and a daemon in a linked worktree; return the run and the worktree."""
    root = repository.worktree("feature")
    services = {name: {"command": handshake.text(name), "stop": {"timeout": 1}} for name in ("tree", "daemon")}
    repository.write({"services.yaml": json.dumps({"services": services})}, root)
    run = up(cwd=root)
    handshake.wait_shapes("tree", "daemon")
    return run, root


def recreate(repository, root):
    repository.remove(root)
    repository.git("worktree", "add", "-q", root, "feature")


def trash(repository, root):
    folder = os.path.join(repository.path, ".git", "wt", "trash")
    os.makedirs(folder)
    os.rename(root, os.path.join(folder, "feature-20260101"))


LOSSES = {
    "removed by git": (lambda repository, root: repository.remove(root), "is gone"),
    "removed by rm": (lambda _repository, root: shutil.rmtree(root), "is gone"),
    "moved to trash": (trash, "is gone"),
    "moved away": (lambda _repository, root: os.rename(root, f"{root}-moved"), "is gone"),
    "re-created": (recreate, "was re-created"),
    "replaced by a folder": (lambda _repository, root: (shutil.rmtree(root), os.mkdir(root)), "was re-created"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_whose_worktree_is_lost_ends_and_says_why(running, repository, handshake, loss):
    run, root = running
    lose, words = LOSSES[loss]
    lose(repository, root)
    assert run.wait() == 1
    assert f"worktree `{root}` {words}" in run.output
    assert handshake.wait_gone()


def test_a_start_in_a_worktree_that_was_just_re_created_waits_for_the_run_of_its_predecessor(
    running, repository, handshake, up
):
    run, root = running
    recreate(repository, root)
    repository.write({"services.yaml": json.dumps({"services": {"one": {"command": "true"}}})}, root)
    assert up(cwd=root).wait() == 0
    assert run.wait() == 1
    assert handshake.wait_gone()


@pytest.mark.parametrize("words", [["up"], ["up", "-d"], ["exec", "--", "true"]])
def test_a_start_in_a_worktree_that_was_removed_while_it_waited_claims_nothing(repository, words):
    """Here by hand: what holds the worktree's lock when the start asks for it is its removal."""
    root = repository.worktree("feature")
    repository.write({"services.yaml": json.dumps({"services": {"web": {"command": "true", "port": 21000}}})}, root)
    code = (
        "import shutil, sys\n"
        "from devrun.cli import main\n"
        "from devrun.run import start\n"
        "class Removal(start.FileLock):\n"
        "    @classmethod\n"
        "    def take(cls, path, *, wait=0):\n"
        f"        shutil.rmtree({root!r})\n"
        "        return super().take(path, wait=wait)\n"
        "start.FileLock = Removal\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    message = f"error: worktree `{root}` is gone: removed, moved or made anew\nhint: `devrun worktree list`\n"
    assert (done.returncode, done.stderr) == (1, message)
    assert devrun_json("ports", "--all", cwd=repository.path) == []


def test_a_worktree_that_git_moves_takes_its_run_along(running, repository, handshake):
    run, root = running
    repository.git("worktree", "move", root, f"{root}-elsewhere")
    two_looks()
    assert len(handshake.living()) == len(handshake.reported)
    assert run.stop() == 130


def test_a_service_starts_again_where_git_has_moved_its_worktree(repository, handshake):
    session = Session(repository.worktree("feature"), handshake)
    os.mkdir(os.path.join(session.path, "sub"))
    web = {"command": 'echo "$PWD"; pwd; exec sleep 1000', "working_dir": "sub"}
    session.services(web=web, other="tree")
    session.json("up", "-d", "--wait")
    try:
        elsewhere = f"{session.path}-elsewhere"
        repository.git("worktree", "move", "--force", session.path, elsewhere)
        session.path = elsewhere
        assert session.json("restart", "web") == {"services": [{"name": "web", "outcome": "ready"}]}
        wait_until(lambda: session("logs", "web").stdout.count(f"web | {elsewhere}/sub\n") == 2, "it says where it is")
        assert session.states() == {"web": "ready", "other": "ready"}
    finally:
        session.close()


def test_an_unmounted_worktree_is_not_lost(repository):
    """What is left of the path lies on another device than the worktree did."""
    found = locate(repository.worktree("feature"))
    assert found.file_id is not None
    shutil.rmtree(found.root)
    assert worktree_is_gone(found) is not None
    elsewhere = FileId(found.file_id.device + 1, found.file_id.inode)
    unmounted = type(found)(
        root=found.root,
        identity=found.identity,
        repository=found.repository,
        is_main=found.is_main,
        slug=found.slug,
        file_id=elsewhere,
    )
    assert worktree_is_gone(unmounted) is None


@pytest.fixture
def own_environment(tmp_path):
    """Install devrun into a virtual environment of its own, below the worktree; return its program."""
    folder = tmp_path / "worktree" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for name in ("psutil", "msgspec", "yaml", "_yaml", "honcho", "dotenv", "jmespath", "rich", "shtab"):
        source = os.path.join(sysconfig.get_path("platlib"), name)
        if os.path.isdir(source):
            shutil.copytree(source, packages / name)
    shutil.copytree(os.path.join(ROOT, "devrun"), packages / "devrun")
    return [str(folder / "bin" / "python"), "-m", "devrun", "up"], folder


@pytest.mark.parametrize("ending", ["Ctrl-C", "supervisor killed", "worktree removed"])
def test_a_run_ends_well_when_devrun_itself_has_been_deleted(own_environment, handshake, up, ending):
    argv, folder = own_environment
    root = folder.parent
    services = {
        name: {"command": handshake.text(name), "stop": {"timeout": 1}} for name in ("reforker", "daemon", "stubborn")
    }
    (root / "services.yaml").write_text(json.dumps({"services": services}))
    run = up(argv=argv, cwd=root)
    handshake.wait_shapes(*services)
    shutil.rmtree(root if ending == "worktree removed" else folder)
    expected = {"Ctrl-C": 130, "supervisor killed": 137, "worktree removed": 1}[ending]
    if ending == "Ctrl-C":
        run.send(signal.SIGINT)
    elif ending == "supervisor killed":
        supervisor = supervisor_of(run.process)
        supervisor.kill()
    assert run.wait() == expected, run.output
    assert "Traceback" not in run.output
    assert handshake.wait_gone()
