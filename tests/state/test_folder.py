from __future__ import annotations

import os
import stat

import pytest

from devrun.errors import DevrunError, StateError, UsageError
from devrun.state import folder, open_state
from devrun.state.folder import LONGEST_SOCKET_PATH, socket_folder, state_folder
from devrun.system.folders import current_folder


def test_the_variable_counts_then_xdg_then_home(monkeypatch, tmp_path):
    assert state_folder() == str(tmp_path / "devrun-state")
    monkeypatch.delenv("DEVRUN_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder() == str(tmp_path / "xdg" / "devrun")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_folder() == str(tmp_path / "home" / ".local" / "state" / "devrun")


def test_a_relative_folder_is_a_usage_error(monkeypatch):
    monkeypatch.setenv("DEVRUN_STATE_DIR", "state")
    with pytest.raises(UsageError, match="not an absolute path"):
        state_folder()


def test_a_folder_inside_a_worktree_is_refused(monkeypatch, repository):
    monkeypatch.setenv("DEVRUN_STATE_DIR", os.path.join(repository.path, "tmp", "state"))
    with pytest.raises(StateError, match="inside the worktree"):
        open_state()


def test_a_home_folder_under_git_is_no_worktree(monkeypatch, tmp_path):
    os.makedirs(tmp_path / "home" / ".git")
    monkeypatch.setenv("DEVRUN_STATE_DIR", str(tmp_path / "home" / "state"))
    open_state().close()


def test_folder_and_database_are_private(tmp_path):
    open_state().close()
    assert stat.S_IMODE(os.stat(tmp_path / "devrun-state").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "devrun-state" / "state.db").st_mode) == 0o600


def test_a_network_file_system_is_refused_with_a_hint(monkeypatch):
    monkeypatch.setattr(folder, "_file_system", lambda _device, _path: "nfs4")
    with pytest.raises(StateError, match="nfs4") as caught:
        open_state()
    assert "DEVRUN_STATE_DIR=" in caught.value.hint


def test_this_machines_folders_are_known_as_local(tmp_path):
    assert folder.network_file_system(str(tmp_path)) is None
    assert folder.network_file_system("/proc") is None


@pytest.mark.parametrize("place", ["/proc/devrun", "/dev/null", "/dev/null/devrun"])
def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(monkeypatch, place):
    monkeypatch.setenv("DEVRUN_STATE_DIR", place)
    with pytest.raises(StateError, match=place) as caught:
        open_state()
    assert caught.value.exit_code == 1
    assert "DEVRUN_STATE_DIR=" in caught.value.hint


def test_a_deleted_current_folder_is_an_error_and_no_traceback(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(DevrunError, match="deleted"):
        current_folder()


class TestSockets:
    def test_the_folder_is_private_and_short(self):
        found = socket_folder()
        assert found == os.path.join(os.environ["XDG_RUNTIME_DIR"], "devrun")
        assert stat.S_IMODE(os.stat(found).st_mode) == 0o700
        assert len(found) < LONGEST_SOCKET_PATH - 32

    def test_a_folder_that_was_opened_up_is_closed_again(self):
        os.chmod(socket_folder(), 0o777)
        assert stat.S_IMODE(os.stat(socket_folder()).st_mode) == 0o700

    def test_a_folder_that_was_closed_to_ourselves_is_opened(self):
        os.chmod(socket_folder(), 0o500)
        assert stat.S_IMODE(os.stat(socket_folder()).st_mode) == 0o700

    def test_a_folder_that_takes_no_file_falls_back(self, monkeypatch):
        runtime = os.environ["XDG_RUNTIME_DIR"]
        unwritable = socket_folder()
        monkeypatch.setenv("TMPDIR", runtime)
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: path != unwritable and access(path, mode))
        assert socket_folder() == os.path.join(runtime, f"devrun-{os.geteuid()}")

    def test_a_long_or_missing_runtime_folder_falls_back(self, monkeypatch, tmp_path):
        runtime = os.environ["XDG_RUNTIME_DIR"]
        monkeypatch.setenv("TMPDIR", runtime)
        for unusable in (str(tmp_path / ("x" * 120)), "/dev/null/runtime", "relative"):
            monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
            assert socket_folder() == os.path.join(runtime, f"devrun-{os.geteuid()}")

    def test_a_link_that_somebody_planted_is_not_followed(self, monkeypatch, tmp_path):
        runtime = os.environ["XDG_RUNTIME_DIR"]
        os.symlink(tmp_path, os.path.join(runtime, "devrun"))
        monkeypatch.setenv("TMPDIR", runtime)
        assert socket_folder() == os.path.join(runtime, f"devrun-{os.geteuid()}")
