from __future__ import annotations

import contextlib
import os
import shutil
import time

import msgspec
import pytest

from devrun.model import Liveness, ProcessIdentity, RunRecord
from devrun.state import open_state
from devrun.state import runs as runs_room
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id, identify

GONE = ProcessIdentity(2**22, 1)


@pytest.fixture
def state():
    with open_state() as opened:
        yield opened


def record(run_id="r1", **changes):
    plain = RunRecord(
        id=run_id,
        worktree="/w",
        worktree_identity="/w/.git",
        keeper=GONE,
        supervisor=GONE,
        boot_id=boot_id(),
        started_at=time.time(),
    )
    return msgspec.structs.replace(plain, **changes)


@contextlib.contextmanager
def held(state, run_id, *names):
    """The folder of a run, its two lock files, and those named held."""
    folder = state.runs.make_folder(run_id)
    locks = {name: FileLock.take(os.path.join(folder, name)) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)}
    for name in locks.keys() - set(names):
        locks[name].close()
    yield
    for lock in locks.values():
        lock.close()


def dead(state, run_id, **changes):
    with held(state, run_id):
        state.runs.publish(record(run_id, **changes))


@pytest.mark.parametrize("names", [(KEEPER_LOCK,), (SUPERVISOR_LOCK,), (KEEPER_LOCK, SUPERVISOR_LOCK)])
def test_a_run_lives_while_either_lock_is_held(state, names):
    with held(state, "r1", *names):
        state.runs.publish(record())
        assert state.runs.liveness(record()) is Liveness.LIVE
        assert state.runs.live("/w/.git") == record(started_at=state.runs.get("r1").started_at)
    assert state.runs.liveness(record()) is Liveness.DEAD
    assert state.runs.alive() == []


def test_a_run_whose_end_is_recorded_lives_while_a_lock_is_held(state):
    with held(state, "r1", KEEPER_LOCK):
        state.runs.publish(record())
        state.runs.end("r1", exit_code=0)
        assert state.runs.live("/w/.git").id == "r1"


def test_one_missing_lock_file_is_unknown_and_counts_as_alive(state):
    dead(state, "r1")
    os.unlink(os.path.join(state.runs.folder("r1"), KEEPER_LOCK))
    assert state.runs.liveness(record()) is Liveness.UNKNOWN
    assert state.runs.live("/w/.git").id == "r1"


def test_a_run_whose_folder_was_deleted_is_judged_by_its_processes(state):
    dead(state, "r1")
    shutil.rmtree(state.runs.folder("r1"))
    assert state.runs.liveness(record()) is Liveness.DEAD
    assert state.runs.liveness(record(supervisor=identify(os.getpid()))) is Liveness.UNKNOWN
    assert state.runs.liveness(record(supervisor=None)) is Liveness.UNKNOWN
    assert state.runs.liveness(record(boot_id="another boot", keeper=None)) is Liveness.DEAD


def test_a_record_is_read_as_it_was_written(state):
    full = record(owner=GONE, socket="/s", groups={"web": GONE}, detached=True, ended_at=5.0, exit_code=3)
    state.runs.publish(full)
    assert state.runs.get("r1") == full
    assert state.runs.get("r2") is None


def test_fields_are_changed_one_by_one(state):
    state.runs.publish(record())
    state.runs.update("r1", groups={"api": GONE})
    state.runs.update("r1", socket="/s")
    found = state.runs.end("r1", exit_code=7)
    assert (found.groups, found.socket, found.exit_code) == ({"api": GONE}, "/s", 7)
    assert state.runs.update("nobody", socket="/s") is None


def test_runs_are_listed_newest_first(state):
    for number, run_id in enumerate("abc"):
        state.runs.publish(record(run_id, started_at=float(number)))
    assert [run.id for run in state.runs.all()] == ["c", "b", "a"]


class TestPrune:
    def test_old_ended_runs_go_with_their_folders(self, state):
        dead(state, "old", ended_at=1.0)
        dead(state, "new", ended_at=time.time())
        assert state.runs.prune(in_use=()) == ("old",)
        assert not os.path.exists(state.runs.folder("old"))
        assert [run.id for run in state.runs.all()] == ["new"]
        assert state.runs.prune(in_use=()) == ()

    def test_a_run_that_a_process_is_stamped_with_stays(self, state):
        dead(state, "old", ended_at=1.0)
        assert state.runs.prune(in_use={"old"}) == ()

    def test_when_the_stamps_are_unknown_everything_stays(self, state):
        dead(state, "old", ended_at=1.0)
        assert state.runs.prune(in_use=None) == ()

    def test_a_run_that_is_not_proved_dead_stays(self, state):
        with held(state, "live", KEEPER_LOCK):
            state.runs.publish(record("live", ended_at=1.0))
            assert state.runs.prune(in_use=()) == ()
        os.unlink(os.path.join(state.runs.folder("live"), KEEPER_LOCK))
        assert state.runs.prune(in_use=()) == ()

    def test_a_crashed_run_is_marked_as_ended_and_kept_for_the_post_mortem(self, state):
        dead(state, "crashed")
        assert state.runs.prune(in_use=()) == ()
        assert state.runs.get("crashed").ended_at is not None

    def test_only_so_many_are_kept(self, state, monkeypatch):
        monkeypatch.setattr(runs_room, "KEPT_RUNS", 2)
        for number in range(4):
            dead(state, f"r{number}", started_at=float(number), ended_at=time.time())
        assert sorted(state.runs.prune(in_use=())) == ["r0", "r1"]

    def test_a_folder_without_a_record_goes_when_it_is_old(self, state):
        folder = state.runs.make_folder("litter")
        assert state.runs.prune(in_use=()) == ()
        os.utime(folder, (1, 1))
        assert state.runs.prune(in_use=()) == ("litter",)

    def test_a_folder_without_a_record_stays_while_it_is_locked(self, state):
        with held(state, "starting", SUPERVISOR_LOCK):
            os.utime(state.runs.folder("starting"), (1, 1))
            assert state.runs.prune(in_use=()) == ()
