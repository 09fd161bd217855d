from __future__ import annotations

import os
import shutil
import stat

import pytest

from devrun.system.git import run_git
from devrun.worktrees.listing import list_worktrees
from devrun.worktrees.locate import locate
from tests.support.repositories import Repository, git


def test_every_worktree_is_listed_with_its_identity(repository):
    path = repository.worktree("feature")
    view = list_worktrees(locate(repository.path).repository)
    assert (view.main_path, view.problem) == (repository.path, None)
    assert [entry.path for entry in view.entries] == [repository.path, path]
    assert [entry.identity for entry in view.entries] == [locate(repository.path).identity, locate(path).identity]
    assert [entry.branch for entry in view.entries] == ["main", "feature"]
    assert view.entries[1].file_id == locate(path).file_id


def test_paths_with_newlines_and_odd_bytes_are_whole(repository, tmp_path):
    path = repository.worktree("odd", os.fsdecode(os.fsencode(tmp_path) + b"/a\nb \xe9"))
    assert list_worktrees(os.path.join(repository.path, ".git")).entries[1].path == path


def test_locked_detached_and_prunable_are_told(repository):
    locked, gone = repository.worktree("locked"), repository.worktree("gone")
    repository.git("worktree", "lock", "--reason", "on a stick", locked)
    git("switch", "-q", "--detach", cwd=locked)
    shutil.rmtree(gone)
    entries = {entry.path: entry for entry in list_worktrees(os.path.join(repository.path, ".git")).entries}
    one, two = entries[locked], entries[gone]
    assert (one.locked, one.detached, one.branch) == ("on a stick", True, None)
    assert two.prunable is not None
    assert (two.identity, two.file_id) == (None, None)


def test_a_bare_repository_has_no_main_path(repository, tmp_path):
    bare = str(tmp_path / "bare.git")
    git("clone", "-q", "--bare", repository.path, bare, cwd=tmp_path)
    git("worktree", "add", "-q", str(tmp_path / "x"), "main", cwd=bare)
    view = list_worktrees(os.path.realpath(bare))
    assert view.main_path is None
    assert [entry.bare for entry in view.entries] == [True, False]


def program(tmp_path, monkeypatch, script):
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "git"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 0", "listed no worktree"),
        ("echo 'fatal: detected dubious ownership in repository' >&2; exit 128", "dubious ownership"),
        ("exec sleep 30", "no answer"),
        ("exit 1", "exit code 1"),
    ],
)
def test_no_answer_is_unknown_and_not_empty(repository, tmp_path, monkeypatch, script, problem):
    program(tmp_path, monkeypatch, script)
    view = list_worktrees(os.path.join(repository.path, ".git"), timeout=0.2)
    assert view.entries is None
    assert problem in view.problem


def test_without_git_the_list_is_unknown(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert list_worktrees(os.path.join(repository.path, ".git")).entries is None


def test_a_git_without_dash_z_is_asked_again_without(repository, tmp_path, monkeypatch):
    real = shutil.which("git")
    program(tmp_path, monkeypatch, f'for word; do [ "$word" = -z ] && exit 129; done; exec {real} "$@"')
    repository.worktree("feature")
    assert len(list_worktrees(os.path.join(repository.path, ".git")).entries) == 2


def test_a_git_that_is_missing_is_named_so(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    view = list_worktrees(os.path.join(repository.path, ".git"))
    assert view.entries is None
    assert view.problem == "there is no `git` in PATH"


def test_a_repository_that_is_gone_is_unknown(tmp_path):
    assert list_worktrees(str(tmp_path / "gone" / ".git")).entries is None


def test_an_emptied_git_folder_is_not_answered_by_the_repository_around_it(repository):
    inner = Repository(os.path.join(repository.path, "inner"))
    git_dir = os.path.join(inner.path, ".git")
    shutil.rmtree(git_dir)
    os.mkdir(git_dir)
    assert list_worktrees(git_dir).entries is None


def test_variables_of_a_hook_do_not_lead_git_elsewhere(repository, make_repository, monkeypatch):
    other = make_repository("other")
    monkeypatch.setenv("GIT_DIR", os.path.join(other.path, ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", other.path)
    answer = run_git(["rev-parse", "--show-toplevel"], cwd=repository.path)
    assert answer.stdout.decode().strip() == repository.path
