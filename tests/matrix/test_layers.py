"""Each layer alone: what the traps, the keeper, the tether and the next start catch without the others.

The table is the claim: which shapes have a process left after a fault when only these layers work.
A layer without a row in which it saves somebody would have no reason to be there.
"""

from __future__ import annotations

import pytest

from devrun.run.layers import KEEPER, SWEEP, TETHER, TRAPS
from tests.support.arena import kill, supervisor_of
from tests.support.devrun import devrun
from tests.support.faults import ELUSIVE
from tests.support.processes import nothing_happens, wait_gone
from tests.support.shapes import MATRIX

ALL = frozenset(MATRIX) - {"noisy"}  # who writes all the time dies of the closed pipe, without help
NOBODY: frozenset[str] = frozenset()
LAYERS = (TRAPS, KEEPER, TETHER, SWEEP)


def end_by_ctrl_c(shown):
    shown.interrupt()


def kill_supervisor(shown):
    kill(supervisor_of(shown.process))


def kill_keeper(shown):
    kill(shown.process)


def kill_both(shown):
    kill(shown.process, supervisor_of(shown.process))


TABLE = [  # layers that work, fault, who is left
    ((), end_by_ctrl_c, ALL),
    ((TRAPS,), end_by_ctrl_c, NOBODY),
    ((TRAPS,), kill_supervisor, ALL),
    ((KEEPER,), end_by_ctrl_c, NOBODY),
    ((KEEPER,), kill_supervisor, NOBODY),
    ((KEEPER,), kill_keeper, ALL),
    ((TRAPS, KEEPER), kill_keeper, NOBODY),
    ((TRAPS, KEEPER), kill_both, ALL),
    ((TETHER,), end_by_ctrl_c, frozenset(ELUSIVE)),
    ((TETHER,), kill_supervisor, frozenset(ELUSIVE)),
    ((TETHER,), kill_both, frozenset(ELUSIVE)),
    ((SWEEP,), kill_both, ALL),
]


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("layers", "fault", "expected"), TABLE, ids=[f"{'+'.join(on) or 'none'}-{fault.__name__}" for on, fault, _ in TABLE]
)
def test_what_these_layers_alone_leave(arena, monkeypatch, layers, fault, expected):
    made = arena()
    monkeypatch.setenv("DEVRUN_DISABLE", ",".join(set(LAYERS) - set(layers)))
    shown = made.start()
    supervisor = supervisor_of(shown.process)
    fault(shown)
    assert made.await_end(shown) is not None
    if fault is kill_keeper and KEEPER not in layers:
        kill(supervisor)
    if fault is not kill_keeper or TRAPS not in layers:
        assert wait_gone([supervisor]) == []
    if expected:
        gone = [each.process for each in made.roll.reported if each.shape not in expected]
        assert wait_gone(gone) == []
        nothing_happens()
    else:
        assert made.await_empty() is not None, made.roll.by_shape()
    assert frozenset(made.roll.by_shape()) == expected
    monkeypatch.delenv("DEVRUN_DISABLE")
    next_start = devrun("up" if SWEEP in layers else "sweep", cwd=made.other)
    assert next_start.returncode == 0
    assert made.await_empty() is not None, made.roll.by_shape()


@pytest.mark.matrix
def test_a_start_without_the_sweep_leaves_what_it_finds(arena, monkeypatch):
    made = arena(["daemon"])
    kill_both(made.start())
    wait_gone(each.process for each in made.roll.reported if each.role == "main")
    monkeypatch.setenv("DEVRUN_DISABLE", SWEEP)
    assert devrun("up", cwd=made.other).returncode == 0
    assert set(made.roll.by_shape()) == {"daemon"}
    monkeypatch.delenv("DEVRUN_DISABLE")
    assert devrun("up", cwd=made.other).returncode == 0
    assert made.await_empty() is not None
