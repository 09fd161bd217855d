from __future__ import annotations

import pytest

from devrun.errors import PortConflictError, RefusedError, UsageError
from devrun.ports.ledger import claim, known
from devrun.ports.starting import hold_for_start, plain_numbers
from devrun.system.locks import FileLock
from tests.support.ports import linked, main_checkout, project, service

HOOK = project(service("hook", 4242, fixed=True), web=3000)


def start(state, worktree, wanted, *services):
    hold_for_start(state, worktree, claim(state, worktree, wanted), services)


def test_the_second_clone_is_refused_by_name_and_told_about_slots(state, start_run):
    start(state, main_checkout("one"), project(), "web")
    start_run(main_checkout("one"), "web")
    with pytest.raises(PortConflictError, match="/home/u/one") as caught:
        start(state, main_checkout("two"), project(), "web")
    assert caught.value.exit_code == 3
    assert "--slot" in caught.value.hint
    assert "ports: {slot: 1}" in caught.value.hint


def test_a_clone_on_a_slot_of_its_own_starts(state, start_run):
    start(state, main_checkout("one"), project(), "web")
    start_run(main_checkout("one"), "web")
    two = main_checkout("two")
    hold_for_start(state, two, claim(state, two, project(), slot=1), ["web"])


def test_services_that_do_not_meet_start_side_by_side(state, start_run):
    start(state, main_checkout("one"), project(), "web")
    start_run(main_checkout("one"), "web")
    start(state, main_checkout("two"), project(), "api")


def test_a_fixed_port_has_one_holder_until_its_run_ends(state, start_run):
    start(state, linked("x"), HOOK, "hook")
    end = start_run(linked("x"), "hook")
    with pytest.raises(PortConflictError, match="`hook`, which runs in `/home/u/x`"):
        start(state, linked("y"), HOOK, "hook", "web")
    start(state, linked("y"), HOOK, "web")
    end()
    start(state, linked("y"), HOOK, "hook", "web")


def test_a_fixed_service_that_was_stopped_frees_its_port(state, start_run):
    start(state, linked("x"), HOOK, "hook", "web")
    start_run(linked("x"), "web")
    start(state, linked("y"), HOOK, "hook")


def test_a_holder_that_is_just_being_started_counts(state):
    with FileLock.take(state.worktree_lock_path(linked("x").identity)):
        start(state, linked("x"), HOOK, "hook")
        with pytest.raises(PortConflictError):
            start(state, linked("y"), HOOK, "hook")
    start(state, linked("y"), HOOK, "hook")


def test_starting_again_in_the_same_worktree_is_nobodys_business(state, start_run):
    start(state, linked("x"), HOOK, "hook")
    start_run(linked("x"), "hook")
    start(state, linked("x"), HOOK, "hook")


def take(state, worktree, wanted, *services):
    claim(state, worktree, wanted)
    hold_for_start(state, worktree, plain_numbers(state, worktree), services, taking=True)


def test_ports_that_are_taken_answer_for_the_worktree_until_its_run_ends(state, start_run):
    own = claim(state, linked("x"), project())
    take(state, linked("x"), project(), "web")
    end = start_run(linked("x"), "web", taken=True)
    for ports in (claim(state, linked("x"), project()), known(state, linked("x").identity)):
        assert (ports.slot, ports.offset, ports.port("web")) == (0, 0, 3000)
    end()
    assert claim(state, linked("x"), project()) == known(state, linked("x").identity) == own


def test_nothing_is_taken_beside_a_run_of_the_main_checkout_or_one_being_started(state, start_run):
    claim(state, main_checkout(), project())
    with FileLock.take(state.worktree_lock_path(main_checkout().identity)), pytest.raises(RefusedError):
        take(state, linked("x"), project(), "web")
    end = start_run(main_checkout(), "docs")
    with pytest.raises(RefusedError, match="/home/u/shop"):
        take(state, linked("x"), project(), "web")
    end()
    take(state, linked("x"), project(), "web")


def test_a_start_of_the_main_checkout_sees_one_that_takes_at_the_same_time(state):
    with FileLock.take(state.worktree_lock_path(linked("x").identity)):
        take(state, linked("x"), project(), "web")
        with pytest.raises(PortConflictError, match="/home/u/x"):
            start(state, main_checkout(), project(), "api")
    start(state, main_checkout(), project(), "api")


def test_what_is_taken_is_refused_to_the_main_checkout_even_without_a_port_in_common(state, start_run):
    take(state, linked("x"), project(), "web")
    start_run(linked("x"), "web", taken=True)
    with pytest.raises(RefusedError, match="`/home/u/x` has taken the plain ports"):
        start(state, main_checkout(), project(service("worker")), "worker")
    start(state, main_checkout("another"), project(service("worker")), "worker")


def test_ports_that_are_another_worktrees_own_are_not_taken(state):
    other = linked("y", "another")
    moved = claim(state, other, project(web=2990), slot=1)
    assert moved.port("web") == 3000
    with pytest.raises(PortConflictError, match="/home/u/y"):
        take(state, linked("x"), project(), "web")
    take(state, linked("x"), project(), "api")


def test_the_plain_ports_are_the_main_checkouts_already(state):
    claim(state, main_checkout(), project())
    with pytest.raises(UsageError, match="has the plain ports already"):
        plain_numbers(state, main_checkout())
