"""Files named after a process: removed when it is gone, and only those."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import msgspec
import pytest

from devrun.cleanup import sweep
from devrun.cleanup.pidfiles import Leftover, find_leftovers, remove
from devrun.config.project import SweepSettings
from devrun.report.cleaning import sweep_lines
from devrun.system.processes import read_snapshot
from tests.support.leftovers import nested, settings

PATTERN = ".state/active-session-{pid}"
TIDY = (
    "def leave(*_):\n    os.unlink(f'{sys.argv[1]}/active-session-{os.getpid()}'); os._exit(0)\n"
    "signal.signal(signal.SIGTERM, leave); ready(); rest()"
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "project" / ".state"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def swept(state, folder, pattern=PATTERN, **options):
    root = str(folder.parent)
    return sweep(state, settings=SweepSettings(pidfiles=(pattern,)), root=root, **options)


def test_the_file_of_a_dead_process_is_removed_once(state, folder, dead_pid):
    stale, live = folder / f"active-session-{dead_pid}", folder / f"active-session-{os.getpid()}"
    stale.touch()
    live.touch()
    announced = swept(state, folder, dry_run=True).files
    assert [(each.path, each.action, each.outcome) for each in announced] == [(str(stale), "remove", None)]
    assert stale.exists()
    assert [(each.path, each.outcome) for each in swept(state, folder).files] == [(str(stale), "removed")]
    assert not stale.exists()
    assert live.exists()
    assert swept(state, folder).files == ()
    rows = [row for row in state.journal.history() if row.reason == "pidfile"]
    assert len(rows) == 1
    assert str(stale) in rows[0].detail


def test_the_file_of_a_process_that_the_same_sweep_stops_goes_with_it(state, folder, repository, server):
    path = nested(repository, "a")
    orphan, tidy = server(path), server(path, TIDY, str(folder))
    files = sorted(folder / f"active-session-{each.pid}" for each in (orphan, tidy))
    for file in files:
        file.touch()
    repository.remove(path)
    chosen = msgspec.structs.replace(settings(repository), pidfiles=(PATTERN,))
    announced = sweep(state, settings=chosen, root=str(folder.parent), dry_run=True)
    assert {each.path for each in announced.files} == set(map(str, files))
    report = sweep(state, settings=chosen, root=str(folder.parent))
    assert [(each.path, each.action) for each in report.files] == [(each.path, each.action) for each in announced.files]
    assert not any(map(os.path.exists, files))
    again = sweep(state, settings=chosen, root=str(folder.parent))
    assert again.files == ()


def test_a_file_older_than_the_process_with_its_pid_is_removed(state, folder, processes):
    child = processes.python("ready(); rest()")
    file = folder / f"active-session-{child.pid}"
    file.touch()
    started = child.process.create_time()
    os.utime(file, (started - 1, started - 1))
    assert swept(state, folder).files == ()
    os.utime(file, (started - 60, started - 60))
    assert "re-used" in swept(state, folder).files[0].reason
    assert not file.exists()


def test_other_names_folders_and_links_are_left_alone(state, folder, dead_pid, tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    names = ["active-session-0", "active-session--1", f"active-session-0{dead_pid}", f"active-session-{dead_pid}.bak"]
    names += [f"x-active-session-{dead_pid}", "active-session-", "active-session-12x", "active-session-١٢"]
    names += [f"active-session-{dead_pid}\n", "active-session-99999999999", "active-session-1"]
    for name in names:
        (folder / name).touch()
    (folder / f"active-session-{dead_pid}").symlink_to(outside)
    (folder / "active-session-999999").mkdir()
    assert swept(state, folder).files == ()
    assert len(os.listdir(folder)) == len(names) + 2
    assert outside.exists()


@pytest.mark.parametrize("way", ["link", "dots", "absolute"])
def test_a_folder_outside_of_the_project_is_left_alone_and_said(state, folder, dead_pid, tmp_path, way):
    outside = tmp_path / "outside"
    outside.mkdir()
    file = outside / f"active-session-{dead_pid}"
    file.touch()
    (folder.parent / "linked").symlink_to(outside)
    prefix = {"link": "linked", "dots": "../outside", "absolute": str(outside)}[way]
    report = swept(state, folder, f"{prefix}/active-session-{{pid}}")
    assert report.files == ()
    assert [each.why for each in report.skipped] == ["its folder is not inside the project"]
    assert file.exists()


def test_a_missing_folder_is_nothing(state, folder):
    report = swept(state, folder, ".nowhere/active-session-{pid}")
    assert (report.files, report.skipped) == ((), ())


def test_a_pattern_at_the_top_of_the_project_works(state, folder, dead_pid):
    file = folder.parent / f"session-{dead_pid}.pid"
    file.touch()
    assert [each.path for each in swept(state, folder, "session-{pid}.pid").files] == [str(file)]


def test_a_process_of_another_user_is_alive(folder, monkeypatch, dead_pid):
    def forbidden(_pid):
        raise PermissionError

    (folder / f"active-session-{dead_pid}").touch()
    monkeypatch.setattr(os, "getpgid", forbidden)
    assert find_leftovers([PATTERN], str(folder.parent), read_snapshot()) == ((), ())


def test_a_file_that_is_gone_or_was_written_again_meanwhile_is_fine(folder, dead_pid):
    file = folder / f"active-session-{dead_pid}"
    file.touch()
    (found,), _ = find_leftovers([PATTERN], str(folder.parent), read_snapshot())
    os.utime(file, (time.time() + 5, time.time() + 5))
    assert remove(found).action == "keep"
    assert file.exists()
    file.unlink()
    assert remove(found).outcome == "gone"
    assert remove(Leftover(str(folder / "none"), "x", 0, "")).outcome == "gone"


def test_a_file_that_could_not_be_removed_is_not_called_removed(state, folder, dead_pid, monkeypatch):
    stale = folder / f"active-session-{dead_pid}"
    stale.touch()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("devrun.cleanup.pidfiles.os.unlink", refuse)
    report = swept(state, folder)
    assert [each.outcome for each in report.files] == ["failed: permission denied"]
    assert sweep_lines(report, dry_run=False) == [
        f"could not remove `{stale}` (pid {dead_pid} is gone): permission denied"
    ]
    assert [row for row in state.journal.history() if row.reason == "pidfile"] == []
