"""What holds for every snapshot, wherever it came from: /proc, psutil, or a recording."""

from __future__ import annotations

import itertools
import os

import pytest

from devrun.model import ProcessSnapshot
from devrun.system.processes import read_details, read_snapshot
from devrun.system.sockets import read_listeners
from tests.support import recordings


@pytest.fixture(params=[pytest.param("linux", marks=pytest.mark.linux), "portable", "recorded"])
def snapshot(request, monkeypatch):
    if request.param == "recorded":
        return recordings.load("worktrees")
    if request.param == "portable":
        monkeypatch.setenv("DEVRUN_PORTABLE", "1")
    read = read_snapshot()
    read = ProcessSnapshot(read, self_pid=read.self_pid, boot_id=read.boot_id, listeners=read_listeners())
    return read_details(read, [record.pid for record in read if record.uid == os.geteuid()])


def test_the_reader_is_in_its_own_snapshot(snapshot):
    own = snapshot.get(snapshot.self_pid)
    assert own is not None
    assert own.argv
    assert snapshot.boot_id


def test_no_pid_has_two_rows_and_every_token_is_known(snapshot):
    pids = [record.pid for record in snapshot]
    assert len(set(pids)) == len(pids) == len(snapshot)
    assert all(record.identity.start_token >= 0 for record in snapshot)


def test_the_lineage_of_everybody_ends(snapshot):
    for record in snapshot:
        chain = snapshot.lineage(record.pid)
        assert chain[0] is record
        for child, parent in itertools.pairwise(chain):
            assert child.ppid == parent.pid
            assert child in snapshot.children(parent.pid)
            assert record in snapshot.descendants(parent.pid)


def test_a_session_has_its_members(snapshot):
    for record in snapshot:
        assert record.sid is None or record in snapshot.session(record.sid)


def test_a_zombie_has_no_dear_facts(snapshot):
    for record in snapshot:
        if record.is_zombie:
            assert (record.argv, record.cwd, record.environment) == (None, None, None)


def test_facts_are_whole_or_unknown(snapshot):
    for record in snapshot:
        assert record.argv is None or record.argv
        assert record.cwd is None or record.cwd.path.startswith("/")
        assert record.script is None or os.path.isabs(record.script)
        assert record.stamp is None or all((record.stamp.run, record.stamp.service, record.stamp.worktree))


def test_a_snapshot_can_be_written_down_and_read_again(snapshot):
    again = recordings.parse(recordings.record(snapshot))
    assert tuple(again) == tuple(snapshot)
    assert again.listeners == snapshot.listeners
    assert (again.self_pid, again.boot_id) == (snapshot.self_pid, snapshot.boot_id)


def test_the_recording_holds_what_a_worktree_leaves_behind():
    snapshot = recordings.load("worktrees")
    left = [record for record in snapshot if record.cwd is not None and record.cwd.deleted]
    assert {record.argv[0] for record in left} == {"/usr/bin/python3", "next-server (v16)", "sh"}
    (orphan,) = (record for record in left if record.stamp is not None)
    assert {each.port for each in snapshot.listeners if each.pid == orphan.pid} == {3010}
    assert any(record.tty for record in left)
    assert {record.state for record in snapshot} >= {"T", "Z"}
