from __future__ import annotations

import pytest

from devrun.errors import PortConflictError
from devrun.ports.ledger import claim
from devrun.ports.starting import hold_for_start
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
