"""The worktree question on real folders, real git and real processes: fact by fact, and the row that follows."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest

from devrun.decide.fate import Fate, judge
from devrun.model import Cwd, Folder
from devrun.state import open_state
from devrun.system.processes import Column, read_details, read_snapshot
from devrun.worktrees.listing import RepositoryView, list_worktrees
from devrun.worktrees.locate import locate
from devrun.worktrees.paths import is_there
from devrun.worktrees.patterns import Patterns
from devrun.worktrees.places import KnownRoot, Places
from devrun.worktrees.survey import make_places, worktree_is_gone
from tests.support.processes import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word on deleted folders is Linux's")


# A sweep of another test, which shares the machine, spares what carries a stamp it does not know.
OF_ANOTHER_STATE = {
    "DEVRUN_RUN": "r",
    "DEVRUN_SERVICE": "s",
    "DEVRUN_WORKTREE": "/nowhere",
    "DEVRUN_STATE_DIR": "/nowhere",
}


@pytest.fixture
def stand(processes):
    """Start a process in a folder; the answer says what became of it, whenever it is asked."""

    def start(folder, *, started_at=None):
        child = processes.python("ready(); rest()", cwd=folder, env={**os.environ, **OF_ANOTHER_STATE})

        def ask(places):
            record = read_details(read_snapshot(), [child.pid], Column.CWD).get(child.pid)
            return places.around(record.cwd, started_at=started_at or record.started_at)

        return ask

    return start


def places(*known, patterns=(), **options):
    return Places(known, Patterns(patterns), **options)


def fate(surroundings):
    return judge(surroundings).fate


def known(path):
    found = locate(path)
    device = os.stat(os.path.dirname(path)).st_dev
    return KnownRoot(
        found.root, found.identity, found.repository, leased=True, parent_device=device, repository_device=device
    )


def test_the_paths_that_git_lists_are_resolved_once_and_not_for_each_process(repository, monkeypatch):
    """Thousands of processes beside hundreds of worktrees: half a million resolved paths took ten seconds."""
    path = repository.worktree("a")
    resolved = []
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda each, **options: resolved.append(each) or real(each, **options))
    asked = places()
    assert asked.around(Cwd(path, deleted=False)).live
    first = len(resolved)
    assert first
    assert asked.around(Cwd(path, deleted=False)).live
    assert len(resolved) == first


def test_a_listed_worktree_is_alive(repository, stand):
    path = repository.worktree("a", os.path.join(repository.path, ".worktrees", "a"))
    os.makedirs(os.path.join(path, "apps/web"))
    found = stand(os.path.join(path, "apps/web"))(places())
    assert (found.root, found.folder, found.live) == (path, Folder.PRESENT, True)
    assert found.root_id == locate(path).file_id
    assert fate(found) is Fate.LIVE


def test_a_deleted_worktree_under_a_pattern_is_gone(repository, stand):
    path = repository.worktree("a", os.path.join(repository.path, ".worktrees", "a"))
    ask = stand(path)
    repository.remove(path)
    assert fate(ask(places())) is Fate.ORPHAN


def test_a_deleted_worktree_by_rm_is_gone_though_git_still_lists_it(repository, stand):
    path = repository.worktree("a", os.path.join(repository.path, ".claude", "worktrees", "a"))
    ask = stand(path)
    shutil.rmtree(path)
    assert path in repository.git("worktree", "list")
    assert fate(ask(places())) is Fate.ORPHAN


def test_a_deleted_worktree_elsewhere_is_gone_by_its_lease_only(repository, stand):
    path = repository.worktree("feature")
    lease = known(path)
    ask = stand(path)
    repository.remove(path)
    assert fate(ask(places(lease))) is Fate.ORPHAN
    assert fate(ask(places())) is Fate.NOWHERE


def test_a_configured_path_is_a_pattern(repository, stand, tmp_path):
    path = repository.worktree("feature", tmp_path / "trees" / "feature")
    ask = stand(path)
    repository.remove(path)
    assert fate(ask(places(patterns=[f"{tmp_path}/trees/*"]))) is Fate.UNKNOWN  # whose repository? nobody knows
    git_dir = os.path.join(repository.path, ".git")
    assert fate(ask(places(KnownRoot(path, repository=git_dir)))) is Fate.ORPHAN
    of_the_configuration = {"patterns": [f"{tmp_path}/trees/*"], "repository": git_dir}
    assert fate(ask(places(**of_the_configuration))) is Fate.ORPHAN
    silent = RepositoryView(git_dir, None, None, "git hung")
    assert fate(ask(places(**of_the_configuration, ask_git=lambda *_, **__: silent))) is Fate.UNKNOWN
    os.makedirs(path)  # whose project is that?
    assert fate(ask(places(**of_the_configuration))) is Fate.UNKNOWN


def test_moved_to_a_trash_folder_inside_the_git_dir_is_gone_and_stays_gone_when_emptied(repository, stand):
    path = repository.worktree("a")
    os.makedirs(os.path.join(path, "src"))
    ask = stand(os.path.join(path, "src"))
    trash = os.path.join(repository.path, ".git", "wt", "trash", "a-123")
    os.makedirs(os.path.dirname(trash))
    os.rename(path, trash)
    found = ask(places())
    assert (found.folder, found.in_trash, fate(found)) == (Folder.PRESENT, True, Fate.ORPHAN)
    os.unlink(os.path.join(trash, ".git"))
    assert fate(ask(places())) is Fate.ORPHAN
    shutil.rmtree(trash)
    assert fate(ask(places())) is Fate.ORPHAN


@pytest.fixture
def hub(repository):
    """A bare repository with its worktrees inside, as many people keep them."""
    path = os.path.join(os.path.dirname(repository.path), "hub.git")
    repository.git("clone", "-q", "--bare", repository.path, path)
    return path


@pytest.mark.parametrize("name", ["fix-trash-icon", "Trash/icon", "feature"])
def test_a_worktree_inside_a_bare_repository_is_alive_whatever_its_name(repository, hub, stand, name):
    path = os.path.join(hub, name)
    repository.git("worktree", "add", "-q", "-b", "topic", path, at=hub)
    os.makedirs(os.path.join(path, "src", "deep"))
    for folder in (path, os.path.join(path, "src"), os.path.join(path, "src", "deep")):
        found = stand(folder)(places())
        assert (found.root, found.live, fate(found)) == (path, True, Fate.LIVE)
        assert places().at(folder).root == path


def test_a_worktree_moved_by_hand_inside_a_bare_repository_is_in_no_trash(repository, hub, stand):
    path, trash = (os.path.join(hub, *words) for words in (("feature",), (".trash", "feature")))
    repository.git("worktree", "add", "-q", "-b", "topic", path, at=hub)
    ask = stand(path)
    os.rename(path, f"{path}-trash-icon")
    assert fate(ask(places())) is Fate.UNDECIDED
    os.makedirs(os.path.dirname(trash))
    os.rename(f"{path}-trash-icon", trash)
    assert fate(ask(places())) is Fate.ORPHAN


def test_a_removed_worktree_inside_a_bare_repository_is_told_by_its_own_root(repository, hub, stand):
    path = os.path.join(hub, "fix-trash-icon")
    repository.git("worktree", "add", "-q", "-b", "topic", path, at=hub)
    os.makedirs(os.path.join(path, "src"))
    ask = stand(os.path.join(path, "src"))
    lease = KnownRoot(path, repository=hub, leased=True, parent_device=os.stat(hub).st_dev)
    repository.git("worktree", "remove", "--force", path, at=hub)
    found = ask(places(lease))
    assert (found.root, fate(found)) == (path, Fate.ORPHAN)


def test_a_process_in_the_git_dir_itself_is_none(repository, stand):
    assert fate(stand(os.path.join(repository.path, ".git", "hooks"))(places())) is Fate.LIVE


def test_re_created_at_the_same_path_makes_an_orphan_of_the_predecessor(repository, stand):
    path = os.path.join(repository.path, ".worktrees", "a")
    repository.worktree("a", path)
    ask = stand(path)
    repository.remove(path)
    repository.git("worktree", "add", "-q", path, "a")
    found = ask(places())
    assert (found.live, found.predecessor, fate(found)) == (True, True, Fate.ORPHAN)
    assert fate(stand(path)(places())) is Fate.LIVE


def test_re_created_shows_below_the_root_too(repository, stand):
    path = os.path.join(repository.path, ".worktrees", "a")
    repository.worktree("a", path)
    os.makedirs(os.path.join(path, "apps"))
    old = stand(os.path.join(path, "apps"), started_at=1000.0)
    shutil.rmtree(path)
    repository.git("worktree", "add", "-q", "-f", path, "a")
    assert fate(old(places())) is Fate.ORPHAN


def test_a_deleted_sub_folder_of_a_live_worktree_is_reported(repository, stand):
    path = repository.worktree("a")
    dist = os.path.join(path, "dist")
    os.makedirs(dist)
    ask = stand(dist)
    shutil.rmtree(dist)
    found = ask(places(known(path)))
    assert (found.folder, found.predecessor, fate(found)) == (Folder.DELETED, False, Fate.REPORT)


def test_a_folder_that_a_watcher_made_again_is_no_worktree(repository, stand):
    path = os.path.join(repository.path, ".worktrees", "a")
    repository.worktree("a", path)
    repository.remove(path)
    os.makedirs(os.path.join(path, "dist"))
    found = stand(os.path.join(path, "dist"))(places())
    assert (found.root, found.has_checkout, fate(found)) == (path, False, Fate.ORPHAN_IF_STAMPED)


def test_the_innermost_worktree_owns(repository, stand):
    inner = repository.worktree("x", os.path.join(repository.path, ".claude", "worktrees", "x"))
    assert stand(inner)(places()).root == inner
    assert stand(repository.path)(places()).root == repository.path
    ask = stand(inner)
    repository.remove(inner)
    assert (ask(places()).root, fate(ask(places()))) == (inner, Fate.ORPHAN)


def test_moved_by_git_is_alive(repository, stand, tmp_path):
    path = repository.worktree("a")
    lease, ask = known(path), stand(path)
    repository.git("worktree", "move", path, str(tmp_path / "moved"))
    found = ask(places(lease))
    assert (found.root, fate(found)) == (str(tmp_path / "moved"), Fate.LIVE)
    assert found.identity == lease.identity


def test_moved_by_hand_is_kept(repository, stand, tmp_path):
    path = repository.worktree("a")
    lease, ask = known(path), stand(path)
    os.rename(path, tmp_path / "moved")
    assert fate(ask(places(lease))) is Fate.UNDECIDED


@pytest.mark.parametrize("why", ["moved by hand", "forgotten by git"])
def test_a_deleted_sub_folder_of_a_worktree_that_is_there_is_no_end_of_it_though_git_does_not_list_it(
    repository, stand, why
):
    trees = os.path.join(repository.path, ".worktrees")
    path, now = repository.worktree("a", os.path.join(trees, "a")), os.path.join(trees, "b")
    os.mkdir(os.path.join(path, "dist"))
    if why == "moved by hand":
        os.rename(path, now)
    else:
        now = path
        shutil.rmtree(os.path.join(repository.path, ".git", "worktrees", "a"))
    ask = stand(os.path.join(now, "dist"))
    os.rmdir(os.path.join(now, "dist"))
    assert (ask(places()).live, fate(ask(places()))) == (False, Fate.REPORT)


def test_what_cannot_be_looked_at_is_not_missing(tmp_path):
    assert is_there(str(tmp_path)) is True
    assert is_there(str(tmp_path / "x")) is False
    assert is_there(str(tmp_path / ("x" * 300))) is None


def test_a_name_that_only_begins_the_same_is_another_worktree(repository, stand, tmp_path):
    short, long = repository.worktree("a", tmp_path / "w" / "a"), repository.worktree("ab", tmp_path / "w" / "ab")
    known_roots = known(short), known(long)
    ask = stand(long)
    repository.remove(short)
    assert (ask(places(*known_roots)).root, fate(ask(places(*known_roots)))) == (long, Fate.LIVE)


def test_a_symlinked_path_is_the_same_worktree(repository, stand, tmp_path):
    path = repository.worktree("a")
    os.symlink(path, tmp_path / "link")
    found = stand(tmp_path / "link")(places())
    assert (found.root, fate(found)) == (path, Fate.LIVE)


def test_a_submodule_belongs_to_its_superproject(repository, make_repository, stand):
    library = make_repository("library")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.path, "vendor/lib")
    found = stand(os.path.join(repository.path, "vendor/lib"))(places())
    assert (found.root, fate(found)) == (repository.path, Fate.LIVE)


def test_a_bare_repository_with_worktrees_inside(repository, stand, tmp_path):
    bare = str(tmp_path / "project.git")
    repository.git("clone", "-q", "--bare", repository.path, bare)
    path = os.path.join(bare, "feature")
    subprocess.run(["git", "worktree", "add", "-q", "-b", "feature", path], cwd=bare, check=True)
    ask = stand(path)
    assert (ask(places()).root, fate(ask(places()))) == (path, Fate.LIVE)
    subprocess.run(["git", "worktree", "remove", "--force", path], cwd=bare, check=True)
    lease = KnownRoot(path, repository=bare)
    assert fate(ask(places(lease))) is Fate.ORPHAN


def ask_patiently(repository, *, timeout):
    return list_worktrees(repository, timeout=timeout + DEADLINE)


@pytest.mark.parametrize("answer", ["missing", "failing", "hanging", "empty", "dubious"])
def test_git_that_does_not_answer_keeps_everything_of_that_repository(answer, repository, stand, tmp_path, monkeypatch):
    path = repository.worktree("a", os.path.join(repository.path, ".worktrees", "a"))
    ask = stand(path)
    repository.remove(path)
    fakes = {
        "failing": "#!/bin/sh\nexit 128\n",
        "hanging": "#!/bin/sh\nexec sleep 60\n",
        "empty": "#!/bin/sh\nexit 0\n",
        "dubious": "#!/bin/sh\necho 'fatal: detected dubious ownership in repository' >&2; exit 128\n",
    }
    (tmp_path / "bin").mkdir()
    if answer in fakes:
        git = tmp_path / "bin" / "git"
        git.write_text(fakes[answer])
        git.chmod(git.stat().st_mode | stat.S_IXUSR)
    rest = "" if answer == "missing" else f":{os.environ['PATH']}"
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{rest}")
    asked = places(deadline=0.0) if answer == "hanging" else places(ask_git=ask_patiently)
    found = ask(asked)
    assert (found.live, fate(found)) == (None, Fate.UNKNOWN)
    assert len(asked.problems) == 1
    if answer == "dubious":
        assert "dubious ownership" in asked.problems[0][1]


def test_the_whole_repository_gone_counts_when_the_device_is_the_recorded_one(repository, stand):
    path = repository.worktree("a")
    lease, ask = known(path), stand(path)
    shutil.rmtree(path)
    shutil.rmtree(repository.path)
    assert fate(ask(places(lease))) is Fate.ORPHAN
    assert fate(ask(places(lease._replace(repository_device=lease.repository_device + 1)))) is Fate.UNKNOWN
    assert fate(ask(places(lease._replace(repository_device=None)))) is Fate.UNKNOWN


def test_a_path_that_is_missing_without_the_kernels_word_is_kept_unless_the_device_agrees(repository):
    from devrun.model import Cwd, FileId

    path = repository.worktree("a")
    lease = known(path)
    repository.remove(path)
    elsewhere = Cwd(path, deleted=False, file_id=FileId(99, 99))  # another mount namespace: there, but not here
    assert places(lease).around(elsewhere).folder is None
    unsure = Cwd(path, deleted=False)  # a system that has no word for it
    assert fate(places(lease).around(unsure)) is Fate.ORPHAN
    unmounted = lease._replace(parent_device=lease.parent_device + 1)
    assert fate(places(unmounted).around(unsure)) is Fate.UNKNOWN


def test_git_is_asked_once_a_repository_and_only_when_something_is_suspicious(repository, stand):
    asked = []

    def ask_git(name, *, timeout):
        asked.append(name)
        return RepositoryView(name, None, None, "not today")

    path = os.path.join(repository.path, ".worktrees", "a")
    repository.worktree("a", path)
    quiet, here = places(ask_git=ask_git), stand(path)
    cwd = read_details(read_snapshot(), [os.getpid()], Column.CWD).get(os.getpid()).cwd
    assert not quiet.is_suspicious(cwd)
    here(quiet), here(quiet)
    assert asked == [os.path.join(repository.path, ".git")]


def test_a_lost_worktree_is_told_from_a_moved_one(repository, tmp_path, stand):
    removed, moved, trashed, again = (locate(repository.worktree(name)) for name in ("a", "b", "c", "d"))
    assert [worktree_is_gone(each) for each in (removed, moved, trashed, again)] == [None] * 4
    repository.remove(removed.root)
    repository.git("worktree", "move", moved.root, str(tmp_path / "elsewhere"))
    os.makedirs(os.path.join(repository.path, ".git", "trash"))
    os.rename(trashed.root, os.path.join(repository.path, ".git", "trash", "c"))
    stand(again.root)  # as a service does: else its inode number may be given to the next folder
    repository.remove(again.root)
    repository.git("worktree", "add", "-q", again.root, "d")
    assert "is gone" in worktree_is_gone(removed)
    assert worktree_is_gone(moved) is None
    assert "is gone" in worktree_is_gone(trashed)
    assert "re-created" in worktree_is_gone(again)


def test_runs_and_leases_are_known_roots(repository, isolated):
    from devrun.model import RunRecord

    path = repository.worktree("a")
    identity = locate(path).identity
    run = RunRecord("r", path, identity, None, None, "boot", 0.0)
    with open_state() as state:
        asked = make_places(state, runs=[run])
    repository.remove(path)
    found = asked.at(os.path.join(path, "x"))
    assert (found.root, found.identity, found.known) == (path, identity, True)
