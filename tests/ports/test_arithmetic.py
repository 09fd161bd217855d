from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devrun.model import PortBase
from devrun.ports.arithmetic import (
    COMMON_SERVERS,
    HIGHEST,
    LOWEST,
    REFUSED_BY_BROWSERS,
    PortRules,
    candidate_slots,
    highest_slot,
    objection,
    plain_ports,
    preferred_slot,
    shifted_ports,
)

LINUX, MAC = PortRules(ephemeral=(32768, 60999)), PortRules(ephemeral=(49152, 65535))
THREE = tuple(PortBase(name, "", port) for name, port in (("web", 3000), ("api", 3001), ("docs", 3802)))

identities = st.text(min_size=1, max_size=80)
strides = st.integers(1, 1000)
rules = st.builds(
    lambda low, size: PortRules(ephemeral=(low, min(65535, low + size))),
    st.integers(1024, 65000),
    st.integers(0, 60000),
) | st.sampled_from([LINUX, MAC])
bases = st.lists(
    st.tuples(st.integers(1, 65535), st.booleans()), min_size=1, max_size=6, unique_by=lambda each: each[0]
).map(lambda found: tuple(PortBase(f"s{port}", "", port, fixed) for port, fixed in found))


@given(identities, bases, strides, rules)
@example("x", (PortBase("dns", "", 53),), 10, LINUX)
@example("x", (PortBase("a", "", 3649), PortBase("b", "", 3669, fixed=True)), 10, LINUX)
def test_no_slot_that_is_offered_has_a_port_that_does_not_suit(identity, bases, stride, rules):
    for slot in itertools.islice(candidate_slots(identity, bases, stride, rules), 40):
        shifted = shifted_ports(bases, slot * stride)
        assert all(LOWEST <= port <= HIGHEST for port in shifted)
        assert not shifted & REFUSED_BY_BROWSERS
        assert shifted.isdisjoint(base.port for base in bases)
        assert len({base.at(slot * stride) for base in bases}) == len(bases)


@given(identities, bases, strides)
def test_the_ephemeral_range_is_left_to_the_kernel_where_any_slot_allows_it(identity, bases, stride):
    possible = [
        slot
        for slot in range(1, highest_slot(bases, stride, LINUX) + 1)
        if objection(bases, slot, stride, LINUX) is None
    ]
    if possible:
        assert sorted(candidate_slots(identity, bases, stride, LINUX)) == possible


@given(identities, st.permutations(THREE), st.lists(st.integers(3003, 3009), unique=True, max_size=3))
def test_adding_or_reordering_services_changes_no_preference(identity, order, extra):
    more = (*order, *(PortBase(f"x{port}", "", port) for port in extra))
    highest = highest_slot(THREE, 10, LINUX)
    assert preferred_slot(identity, highest) == preferred_slot(identity, highest_slot(more, 10, LINUX))


@given(identities)
def test_slots_are_offered_once_each(identity):
    slots = list(candidate_slots(identity, THREE, 10, LINUX))
    assert len(slots) == len(set(slots))
    assert 0 not in slots


@given(st.integers(1, 2896), st.integers(1, 2896))
def test_two_slots_never_share_a_port_when_bases_do_not_alias(one, other):
    shared = shifted_ports(THREE, one * 10) & shifted_ports(THREE, other * 10)
    assert (one == other) == bool(shared)


def test_as_many_slots_as_the_design_says_fit_below_the_ephemeral_range():
    assert len(list(candidate_slots("x", THREE, 10, LINUX))) + 1 == 2893


def test_a_slot_is_always_the_same_for_an_identity():
    assert preferred_slot("/repo/.git/worktrees/x", 2896) == preferred_slot("/repo/.git/worktrees/x", 2896)


def test_ports_of_common_servers_come_last():
    offered = list(candidate_slots("x", THREE, 10, LINUX))
    on_servers = [bool(shifted_ports(THREE, slot * 10) & COMMON_SERVERS) for slot in offered]
    assert True in on_servers
    assert on_servers == sorted(on_servers)


def test_the_main_checkout_keeps_even_numbers_that_would_not_suit():
    odd = (PortBase("https", "", 443), PortBase("x11", "", 6000), PortBase("high", "", 50000))
    assert objection(odd, 0, 10, LINUX) is None
    assert plain_ports(odd, 0) == {443, 6000, 50000}


def test_a_base_in_the_ephemeral_range_is_moved_behind_it():
    slots = list(candidate_slots("x", (PortBase("web", "", 50000),), 10, LINUX))
    assert min(slots) * 10 + 50000 == 61000


def test_a_machine_that_hands_out_every_port_still_has_slots():
    slots = list(candidate_slots("x", THREE, 10, PortRules(ephemeral=(1024, 65535))))
    assert len(slots) > 1000


def test_fixed_ports_do_not_move():
    fixed = PortBase("hook", "", 4242, fixed=True)
    assert fixed.at(2000) == 4242
    assert shifted_ports((fixed,), 2000) == frozenset()


def test_bases_that_alias_under_the_stride_leave_the_plain_numbers_to_the_main_checkout():
    procfile = tuple(PortBase(f"s{port}", "", port) for port in (5000, 5100, 5200))
    assert {10, 20}.isdisjoint(candidate_slots("x", procfile, 10, LINUX))


def test_a_base_with_no_room_above_it_has_no_slots():
    assert list(candidate_slots("x", (PortBase("web", "", 65530),), 10, LINUX)) == []


@pytest.mark.parametrize("port", sorted(REFUSED_BY_BROWSERS))
def test_every_refused_port_is_an_objection(port):
    assert "refused by browsers" in objection((PortBase("web", "", port - 10),), 1, 10, LINUX)


@pytest.mark.parametrize(
    ("port", "words"),
    [(53, "privileged"), (65530, "above 65535"), (40000, "outgoing connections"), (3001, "plain number")],
)
def test_every_other_reason_is_named(port, words):
    bases = (PortBase("web", "", port), PortBase("api", "", 3011))
    assert words in objection(bases, 1, 10, LINUX)


def test_a_project_without_ports_still_has_slots():
    assert next(candidate_slots("x", (), 10, LINUX)) >= 1
