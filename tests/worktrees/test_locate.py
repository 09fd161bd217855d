from __future__ import annotations

import os
import shutil

import pytest

from devrun.errors import UsageError
from devrun.worktrees import locate as locating
from devrun.worktrees.locate import identity_of, locate, root_of
from tests.support.repositories import Repository, git


def test_the_main_checkout_is_known_by_its_git_dir_from_any_folder(repository):
    os.makedirs(os.path.join(repository.path, "apps", "api"))
    found = locate(os.path.join(repository.path, "apps", "api"))
    assert found == locate(repository.path)
    assert (found.root, found.identity) == (repository.path, os.path.join(repository.path, ".git"))
    assert (found.repository, found.is_main, found.branch, found.slug) == (found.identity, True, "main", "main")


def test_a_linked_worktree_is_known_by_its_git_dir(repository):
    path = repository.worktree("feature")
    found = locate(path)
    assert found.root == path
    assert found.identity == os.path.join(repository.path, ".git", "worktrees", "feature")
    assert found.repository == os.path.join(repository.path, ".git")
    assert (found.is_main, found.branch, found.slug) == (False, "feature", "feature")


def test_the_answer_is_gits_own(repository):
    path = repository.worktree("feature")
    for checkout in (repository.path, path):
        found = locate(checkout)
        assert found.identity == os.path.realpath(git("rev-parse", "--absolute-git-dir", cwd=checkout))
        common = git("rev-parse", "--git-common-dir", cwd=checkout)
        assert found.repository == os.path.realpath(os.path.join(checkout, common))
        assert found.root == git("rev-parse", "--show-toplevel", cwd=checkout)


@pytest.mark.parametrize(
    ("words", "branch"),
    [
        (["switch", "-q", "-c", "other"], "other"),
        (["switch", "-q", "--detach"], None),
        (["branch", "-m", "new"], "new"),
    ],
)
def test_identity_and_slug_survive_whatever_happens_to_the_branch(repository, words, branch):
    path = repository.worktree("feature")
    before = locate(path)
    git(*words, cwd=path)
    after = locate(path)
    assert (after.identity, after.slug, after.branch) == (before.identity, before.slug, branch)


def test_identity_and_slug_survive_git_worktree_move(repository, tmp_path):
    path = repository.worktree("feature")
    before = locate(path)
    repository.git("worktree", "move", path, str(tmp_path / "elsewhere"))
    after = locate(tmp_path / "elsewhere")
    assert (after.identity, after.slug) == (before.identity, before.slug)
    assert after.root != before.root
    assert root_of(before.identity) == after.root


def test_the_innermost_worktree_counts(repository):
    inner = repository.worktree("x", os.path.join(repository.path, ".claude", "worktrees", "x"))
    assert locate(inner).root == inner
    assert locate(os.path.join(repository.path, ".claude", "worktrees")).root == repository.path


def test_clones_side_by_side_are_two_repositories_with_a_main_each(repository, tmp_path):
    git("clone", "-q", repository.path, str(tmp_path / "clone"), cwd=tmp_path)
    one, two = locate(repository.path), locate(tmp_path / "clone")
    assert one.is_main
    assert two.is_main
    assert one.repository != two.repository


def test_outside_git_the_real_path_stands_in(tmp_path):
    (tmp_path / "project").mkdir()
    os.symlink(tmp_path / "project", tmp_path / "link")
    found = locate(tmp_path / "link")
    assert found.identity == found.root == os.path.realpath(tmp_path / "project")
    assert (found.repository, found.is_main) == (None, True)
    assert root_of(found.identity) == found.root


@pytest.mark.parametrize("absorbed", [True, False])
def test_a_submodule_belongs_to_its_superprojects_worktree(repository, tmp_path, absorbed):
    library = Repository(tmp_path / "library")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.path, "libs/lib", cwd=repository.path)
    repository.commit({}, "submodule")
    inside = os.path.join(repository.path, "libs", "lib")
    if not absorbed:  # an old submodule keeps its own .git folder
        os.unlink(os.path.join(inside, ".git"))
        shutil.copytree(os.path.join(repository.path, ".git", "modules", "libs", "lib"), os.path.join(inside, ".git"))
    assert locate(inside) == locate(repository.path)


def test_a_submodule_of_a_linked_worktree_belongs_to_that_worktree(repository, tmp_path):
    library = Repository(tmp_path / "library")
    allow = ("-c", "protocol.file.allow=always")
    git(*allow, "submodule", "add", "-q", library.path, "lib", cwd=repository.path)
    repository.commit({}, "submodule")
    path = repository.worktree("feature")
    git(*allow, "submodule", "update", "-q", "--init", cwd=path)
    assert locate(os.path.join(path, "lib")).root == path


def test_an_embedded_repository_that_is_no_submodule_is_its_own(repository):
    inner = Repository(os.path.join(repository.path, "vendor", "lib"))
    assert locate(inner.path).root == inner.path


@pytest.mark.parametrize("hidden", [True, False])
def test_a_bare_repository_has_only_linked_worktrees(repository, tmp_path, hidden):
    place = tmp_path / "project"
    place.mkdir()
    bare = str(place / ".bare") if hidden else str(tmp_path / "bare.git")
    git("clone", "-q", "--bare", repository.path, bare, cwd=tmp_path)
    if hidden:
        (place / ".git").write_text("gitdir: ./.bare\n")
    git("worktree", "add", "-q", str(place / "main"), "main", cwd=bare)
    found = locate(place / "main")
    assert (found.is_main, found.repository, found.slug) == (False, os.path.realpath(bare), "main")
    assert locate(bare).repository is None
    assert locate(place).repository is None


def test_a_linked_worktree_called_main_has_another_slug_than_the_main_checkout(repository, tmp_path):
    path = tmp_path / "trees" / "main"
    repository.git("worktree", "add", "-q", "--detach", str(path))
    assert locate(path).slug.startswith("main-")


def test_a_separate_git_dir_is_a_main_checkout(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git("init", "-q", "--separate-git-dir", str(tmp_path / "store"), str(checkout), cwd=tmp_path)
    found = locate(checkout)
    assert (found.root, found.is_main) == (str(checkout), True)
    assert found.identity == os.path.realpath(tmp_path / "store")


def test_the_copy_of_a_worktree_goes_by_its_own_path(repository, tmp_path):
    path = repository.worktree("feature")
    shutil.copytree(path, tmp_path / "copy", symlinks=True)
    original, copy = locate(path), locate(tmp_path / "copy")
    assert original.identity.endswith("feature")
    assert copy.identity == copy.root == os.path.realpath(tmp_path / "copy")
    assert copy.is_main is False
    assert copy.slug != original.slug
    assert identity_of(str(tmp_path / "copy")) == copy.identity


def test_a_worktree_that_was_moved_by_hand_keeps_its_identity(repository, tmp_path):
    path = repository.worktree("feature")
    before = locate(path)
    os.rename(path, tmp_path / "moved")
    assert locate(tmp_path / "moved").identity == before.identity


def test_a_worktree_whose_repository_is_gone_keeps_its_identity(repository):
    path = repository.worktree("feature")
    before = locate(path)
    shutil.rmtree(repository.path)
    found = locate(path)
    assert (found.identity, found.repository, found.is_main) == (before.identity, before.repository, False)


def test_an_empty_git_folder_is_no_repository(repository):
    os.makedirs(os.path.join(repository.path, "sub", ".git"))
    assert locate(os.path.join(repository.path, "sub")).root == repository.path


def test_a_fifo_called_git_hangs_nobody(tmp_path):
    os.mkfifo(tmp_path / ".git")
    assert locate(tmp_path).repository is None


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        locate(tmp_path / "nowhere")


def test_no_program_is_started(repository, monkeypatch):
    monkeypatch.setattr(os, "posix_spawn", None)
    monkeypatch.setattr(os, "fork", None)
    assert "subprocess" not in vars(locating)
    assert locate(repository.path).is_main
