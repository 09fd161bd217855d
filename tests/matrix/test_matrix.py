"""Nothing leaks: eleven shapes of services, every way a run ends, zero processes left.

The seconds from the fault to the end of the last process are recorded as the property `seconds`.
The one exception is SIGKILL of all devrun processes at once: what left its session or the foreground
group, or ignores HUP, waits for the next `devrun up` or `devrun sweep`.
"""

from __future__ import annotations

import signal

import pytest

from tests.support.arena import kill, supervisor_of
from tests.support.devrun import PROGRAM, devrun
from tests.support.faults import ELUSIVE, EXIT_CODES, PARTS, PLAIN, git_removes, kill_both
from tests.support.processes import wait_gone
from tests.support.shapes import MATRIX

FAULTS = {**PLAIN, **PARTS}
SMALL = ["tree", "stubborn", "daemon"]


def clean_up_elsewhere(arena, how):
    """Let another worktree's devrun clean up; it must end well."""
    words = ["up"] if how == "up" else ["sweep"]
    done = devrun(*words, cwd=arena.other)
    assert done.returncode == 0, done.stderr
    return done


def left(arena):
    """Return who is left, as shape → role of the one process that is."""
    return {shape: each.role for shape, living in arena.roll.by_shape().items() for each in living}


@pytest.mark.matrix
@pytest.mark.parametrize("fault", FAULTS)
def test_no_process_of_any_shape_outlives_the_fault(arena, innocent, platform, fault, record_property):
    made = arena()
    innocent(made)
    shown = made.start()
    FAULTS[fault](made, shown)
    if fault == "SIGKILL both":
        quick = [each.process for each in made.roll.reported if ELUSIVE.get(each.shape) != each.role]
        assert wait_gone(quick) == []
        assert left(made).items() <= ELUSIVE.items()
        clean_up_elsewhere(made, "sweep")
    seconds = made.await_empty()
    assert seconds is not None, left(made)
    record_property("seconds", round(seconds, 2))
    assert made.await_end(shown) == EXIT_CODES[fault], shown.text[-2000:]


@pytest.mark.parametrize("fault", ["Ctrl-C", "hang-up", "SIGKILL", "SIGKILL supervisor"])
def test_no_process_outlives_the_commonest_faults(arena, innocent, fault):
    made = arena(SMALL)
    innocent(made)
    shown = made.start()
    FAULTS[fault](made, shown)
    assert made.await_empty() is not None, left(made)
    assert made.await_end(shown) == EXIT_CODES[fault], shown.text[-2000:]


@pytest.mark.matrix
@pytest.mark.parametrize("shape", MATRIX)
@pytest.mark.parametrize("fault", ["Ctrl-C", "SIGKILL", "SIGKILL supervisor"])
def test_no_process_of_a_shape_alone_outlives_the_fault(arena, shape, fault):
    made = arena([shape])
    shown = made.start()
    FAULTS[fault](made, shown)
    assert made.await_empty() is not None, left(made)
    assert made.await_end(shown) == EXIT_CODES[fault], shown.text[-2000:]


@pytest.mark.parametrize("how", ["up", "sweep"])
def test_a_worktree_removed_after_a_sigkill_is_cleaned_up_from_another(arena, innocent, how):
    made = arena(["session", "daemon", "nohup", "background"])
    innocent(made)
    shown = made.start()
    kill_both(made, shown)
    git_removes(made, shown)
    done = clean_up_elsewhere(made, how)
    assert made.await_empty() is not None, left(made)
    assert f"started for {made.root}" in done.stdout + done.stderr or "stopped" in done.stdout + done.stderr


@pytest.mark.matrix
def test_a_second_start_after_a_sigkill_replaces_what_the_first_left(arena, innocent, platform):
    made = arena()
    innocent(made)
    kill_both(made, made.start())
    first = [each.process for each in made.roll.reported]
    shown = made.start()
    assert wait_gone(first) == []
    shown.interrupt()
    assert made.await_empty() is not None, left(made)
    assert made.await_end(shown) == 130


@pytest.mark.matrix
def test_old_copies_of_every_shape_are_replaced_at_the_next_start(arena, innocent, processes, platform):
    """Started by hand in this worktree, without devrun; a copy that lost its port is found by `match`."""
    made = arena(settings={name: {"match": f"shapes.py {name}"} for name in MATRIX if name != "tree"})
    innocent(made)
    old = [processes.shape(name, cwd=made.root, start_new_session=True) for name in MATRIX if name != "tree"]
    shown = made.start()
    assert [each for tree in old for each in wait_gone(one.process for one in tree.reported)] == []
    shown.interrupt()
    assert made.await_empty() is not None, left(made)


def test_an_old_spinning_copy_that_lost_its_port_is_stopped_before_the_start(arena, innocent, processes):
    made = arena(["listener"], settings={"listener": {"match": "shapes.py spinner"}})
    innocent(made)
    old = processes.shape("spinner", cwd=made.root, start_new_session=True)
    shown = made.start()
    assert wait_gone([one.process for one in old.reported]) == []
    shown.interrupt()
    assert made.await_end(shown) == 130


@pytest.mark.matrix
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "SIGKILL"])
@pytest.mark.parametrize("wrapper", ["npm", "pnpm"])
def test_a_signal_to_the_package_manager_around_devrun_ends_the_run(
    arena, innocent, wrapper, signum, path_of_node_tools, monkeypatch
):
    monkeypatch.setenv("PATH", path_of_node_tools)
    made = arena()
    innocent(made)
    shown = made.start([wrapper, "run", "dev"])
    shown.popen.send_signal(signum)
    assert made.await_empty() is not None, left(made)


@pytest.mark.matrix
def test_the_shell_that_started_devrun_in_the_background_is_killed(arena, innocent):
    made = arena()
    innocent(made)
    shown = made.open(["sh", "-i"])
    shown.type(f"{PROGRAM} up &\n")
    made.await_ready(shown)
    shown.popen.kill()
    assert made.await_empty() is not None, left(made)


@pytest.mark.matrix
@pytest.mark.parametrize("first", ["keeper", "supervisor"])
def test_one_after_the_other_killed_leaves_no_more_than_both_at_once(arena, first):
    made = arena()
    shown = made.start()
    supervisor = supervisor_of(shown.process)
    both = [shown.process, supervisor]
    for each in both if first == "keeper" else reversed(both):
        kill(each)
    quick = [each.process for each in made.roll.reported if ELUSIVE.get(each.shape) != each.role]
    assert wait_gone(quick) == []
    clean_up_elsewhere(made, "up")
    assert made.await_empty() is not None, left(made)
