"""`devrun worktree remove` as people call it: real git, real runs, bystanders in sibling worktrees."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess

import pytest

from devrun.state import open_state
from devrun.system.locks import FileLock
from tests.support.devrun import PROGRAM, devrun, devrun_json
from tests.support.processes import lives, wait_until

CONFIG = "services:\n  web: {{command: {web}, port: 4400}}\n"
QUIET = "ready(); rest()"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); rest()"


@pytest.fixture
def shop(make_repository, handshake):
    """A repository whose one service reports when it is up."""
    text = json.dumps(handshake.text("listener"))
    return make_repository("shop", {"services.yaml": CONFIG.format(web=text)})


@pytest.fixture
def server(processes):
    def start(cwd, code=QUIET):
        return processes.python(code, cwd=cwd, env={**os.environ, "PWD": os.fspath(cwd)}, start_new_session=True)

    return start


def listed(repository):
    return repository.git("worktree", "list")


def remove(*words, cwd):
    return devrun("worktree", "remove", *words, cwd=cwd)


def test_it_ends_the_run_stops_servers_removes_and_releases_and_says_each(shop, server, handshake, bystander):
    path, sibling = shop.worktree("feature"), shop.worktree("other")
    devrun_json("up", "-d", cwd=path)
    (service,) = handshake.wait_shapes("listener")
    stray, neighbour = server(path), server(sibling)
    bystander(cwd=shop.path)
    done = remove(path, cwd=shop.path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ended run ")
    assert lines[1].startswith(f"stopped {stray.pid} ")
    assert lines[2].startswith(f"removed `{path}`")
    assert lines[3].startswith("released slot ")
    assert len(lines) == 4
    assert not lives(service.process)
    assert not lives(stray.process)
    assert lives(neighbour.process)
    assert not os.path.exists(path)
    assert path not in listed(shop)
    assert "feature" in shop.git("branch", "--list", "feature")
    assert path not in devrun("ports", "--all").stdout
    for words in ([path], ["feature"]):
        again = remove(*words, cwd=shop.path)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


REFUSALS = {
    "dirty": ("changes that are not committed", 3),
    "untracked": ("untracked files: `new.txt`", 3),
    "locked": ("is locked: on a stick", 3),
    "main": ("is the main checkout", 3),
    "plain": ("is not a git worktree", 3),
    "sub-folder": ("is not a git worktree", 3),
    "unknown name": ("is not a git worktree", 3),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_what_git_would_refuse_is_refused_before_anything_is_touched(shop, server, tmp_path, why):
    path = shop.worktree("feature")
    devrun_json("ports", cwd=path)
    child = server(path)
    target = path
    if why == "dirty":
        shop.write({"services.yaml": "services: {}\n"}, at=path)
    elif why == "untracked":
        shop.write({"new.txt": "x"}, at=path)
    elif why == "locked":
        shop.git("worktree", "lock", "--reason", "on a stick", path)
    elif why == "main":
        target = shop.path
    elif why == "plain":
        target = str(tmp_path / "listener")
        os.mkdir(target)
    elif why == "sub-folder":
        target = os.path.join(path, "sub")
        os.mkdir(target)
    elif why == "unknown name":
        target = "nothing"
    leases = devrun_json("ports", "--all")
    done = remove(target, cwd=shop.path)
    words, code = REFUSALS[why]
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert lives(child.process)
    assert path in listed(shop)
    assert devrun_json("ports", "--all") == leases
    if why in ("dirty", "untracked"):
        forced = remove("--force", target, cwd=shop.path)
        assert forced.returncode == 0, forced.stderr
        assert not lives(child.process)
        assert not os.path.exists(path)
    if why in ("locked", "main", "plain"):
        assert remove("--force", target, cwd=shop.path).returncode == 3
        assert lives(child.process)


def test_the_hint_of_a_refusal_can_be_pasted_whatever_the_name(shop):
    path = shop.worktree("feature", f"{shop.path}-it's a $(name)")
    shop.write({"new.txt": "x"}, at=path)
    refused = remove(path, cwd=shop.path)
    assert refused.returncode == 3
    command = refused.stderr.partition("hint: `")[2].partition("` loses")[0]
    assert shlex.split(command) == ["devrun", "worktree", "remove", "--force", path]


def test_a_refusal_under_json_is_an_error_object(shop):
    done = remove(shop.path, "--json", cwd=shop.path)
    answer = json.loads(done.stdout)
    assert (answer["kind"], answer["data"]["code"], done.returncode) == ("error", 3, 3)


def test_it_works_from_within_the_worktree_and_from_a_deleted_folder(shop, server):
    path, other = shop.worktree("feature"), shop.worktree("other")
    child = server(path)
    data = json.loads(remove(".", "--json", cwd=path).stdout)["data"]
    assert (data["path"], data["removed"]) == (path, True)
    assert [row["pid"] for row in data["processes"] if row["action"] == "stop"] == [child.pid]
    script = f"cd {other} && {PROGRAM} worktree remove {other} && {PROGRAM} worktree remove {other}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("removed") == 1
    assert listed(shop).splitlines()[1:] == []


def test_after_rm_rf_it_finishes_what_is_left(shop, server):
    path = shop.worktree("feature")
    devrun_json("ports", cwd=path)
    child = server(path)
    shutil.rmtree(path)
    done = remove("feature", cwd=shop.path)
    assert done.returncode == 0, done.stderr
    assert not lives(child.process)
    assert path not in listed(shop)
    assert path not in devrun("ports", "--all").stdout
    assert remove("feature", cwd=shop.path).stdout == ""


def test_after_the_whole_repository_is_gone_it_finishes_what_is_left(shop, server, make_repository):
    other = make_repository("other", {"services.yaml": "services: {web: {command: x, port: 4410}}\n"})
    path = shop.worktree("feature")
    devrun_json("ports", cwd=path)
    child = server(path)
    shutil.rmtree(shop.path)
    shutil.rmtree(path)
    done = remove(path, cwd=other.path)
    assert (done.returncode, done.stderr) == (0, "")
    stopped, released = done.stdout.splitlines()
    assert stopped.startswith(f"stopped {child.pid} ")
    assert released.startswith("released slot ")
    assert devrun_json("ports", "--all") == []
    again = remove(path, cwd=other.path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_lease_that_names_another_repository_does_not_keep_git_from_being_asked(shop):
    path = shop.worktree("feature")
    with open(os.path.join(path, ".git"), "r+", encoding="utf-8") as file:
        pointer = file.read()
        file.seek(0)
        file.truncate()
        file.write("gitdir: /nonexistent/x\n")
    devrun_json("ports", cwd=path)
    with open(os.path.join(path, ".git"), "w", encoding="utf-8") as file:
        file.write(pointer)
    assert remove(path, cwd=shop.path).returncode == 0
    assert path not in listed(shop)


def test_after_gits_own_removal_it_finishes_what_is_left(shop, server):
    path = shop.worktree("feature")
    devrun_json("ports", cwd=path)
    child = server(path)
    shop.remove(path)
    done = remove(path, cwd=shop.path)
    assert (done.returncode, lives(child.process)) == (0, False)
    assert "released slot" in done.stdout
    assert remove(path, cwd=shop.path).stdout == ""


def test_the_old_path_of_a_worktree_that_git_moved_means_whoever_stands_there_now(shop, handshake):
    old = shop.worktree("feature")
    devrun_json("up", "-d", cwd=old)
    (service,) = handshake.wait_shapes("listener")
    shop.git("worktree", "move", old, old + "-moved")
    for words in (("reap", old), ("worktree", "remove", old)):
        nobody = devrun(*words, cwd=shop.path)
        assert (nobody.returncode, nobody.stdout, nobody.stderr) == (0, "", "")
    shop.worktree("another", old)
    assert devrun_json("reap", old, "--dry-run", cwd=shop.path)["processes"] == []
    for words in (("reap", old), ("worktree", "remove", old)):
        assert devrun(*words, cwd=shop.path).returncode == 0
    assert not os.path.exists(old)
    assert lives(service.process)
    assert [each["worktree"] for each in devrun_json("ports", "--all")] == [old + "-moved"]
    assert remove(old + "-moved", cwd=shop.path).returncode == 0
    assert not lives(service.process)
    assert devrun_json("ports", "--all") == []


def test_a_protected_program_stays_is_said_and_blocks_nothing(shop, processes, tmp_path):
    path = shop.worktree("feature")
    editor = tmp_path / "vim"
    shutil.copy("/bin/sleep", editor)
    child = processes.popen([str(editor), "600"], cwd=path)
    done = remove(path, cwd=shop.path)
    assert done.returncode == 0
    assert f"left {child.pid} `vim 600`: is an editor" in done.stderr
    assert child.poll() is None
    assert not os.path.exists(path)


def test_a_failed_clean_up_is_said_and_does_not_block(shop, tmp_path, monkeypatch, capsys):
    from devrun.cli import main
    from devrun.errors import DevrunError
    from devrun.run import removal

    def broken(*_words, **_options):
        raise DevrunError("the process table cannot be read")

    monkeypatch.setattr(removal, "reap", broken)
    path = shop.worktree("feature")
    monkeypatch.chdir(shop.path)
    assert main(["worktree", "remove", path]) == 1
    printed = capsys.readouterr()
    assert "were not stopped: the process table cannot be read" in printed.err
    assert "removed" in printed.out
    assert not os.path.exists(path)


def test_it_waits_for_the_worktrees_lock_and_never_prunes(shop, tmp_path, monkeypatch):
    path, lost = shop.worktree("feature"), shop.worktree("lost")
    shutil.rmtree(lost)
    calls = tmp_path / "calls"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which("git")} "$@"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    with open_state() as state:
        lock = FileLock.take(state.worktree_lock_path(os.path.join(shop.path, ".git", "worktrees", "feature")))
    child = subprocess.Popen(
        [PROGRAM, "worktree", "remove", path],
        cwd=shop.path,
        env={**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"},
    )
    wait_until(calls.exists, "git is asked which worktrees there are")
    assert "remove" not in calls.read_text()
    lock.close()
    assert child.wait(30) == 0
    assert "prune" not in calls.read_text()
    assert lost in listed(shop)


def test_it_refuses_to_end_the_run_it_is_part_of(shop, handshake):
    path = shop.worktree("feature")
    run = devrun_json("up", "-d", cwd=path)["run"]
    handshake.wait_shapes("listener")
    inside = {**os.environ, "DEVRUN_RUN": run, "DEVRUN_SERVICE": "web", "DEVRUN_WORKTREE": path}
    inside["DEVRUN_STATE_DIR"] = os.path.realpath(os.environ["DEVRUN_STATE_DIR"])
    done = devrun("worktree", "remove", path, cwd=shop.path, env=inside)
    assert (done.returncode, "is part of run" in done.stderr) == (3, True)
    assert remove(path, cwd=shop.path).returncode == 0


def test_a_stubborn_server_is_killed_and_the_journal_knows_all_of_it(shop, server):
    path = shop.worktree("feature")
    devrun_json("ports", cwd=path)
    child = server(path, STUBBORN)
    assert remove(path, cwd=shop.path).returncode == 0
    assert child.popen.wait(30) == -signal.SIGKILL
    rows = devrun_json("history")
    assert [(row["verb"], row["action"], row["outcome"]) for row in rows] == [
        ("reap", "stop", "killed"),
        ("worktree remove", "remove", "removed"),
        ("worktree remove", "release", "released"),
    ]


def test_submodules_need_force_as_they_do_for_git(shop, make_repository):
    library = make_repository("library")
    path = shop.worktree("feature")
    shop.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.path, "lib", at=path)
    shop.git("commit", "-q", "-m", "lib", at=path)
    done = remove(path, cwd=shop.path)
    assert (done.returncode, "has submodules" in done.stderr) == (3, True)
    assert remove("--force", path, cwd=shop.path).returncode == 0


def test_list_shows_run_and_memory(shop, handshake):
    path = shop.worktree("feature")
    run = devrun_json("up", "-d", cwd=path)["run"]
    handshake.wait_shapes("listener")
    rows = {row["path"]: row for row in devrun_json("worktree", "list", cwd=shop.path)}
    assert rows[path]["run"] == run
    assert rows[path]["rss"] > 1_000_000
    assert (rows[shop.path]["run"], rows[shop.path]["rss"]) == (None, None)
    assert devrun("down", cwd=path).returncode == 0
