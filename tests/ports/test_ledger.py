from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from devrun.errors import PortConflictError, StateError, UsageError
from devrun.model import FileId
from devrun.ports.ledger import claim, known, release
from devrun.state import open_state
from devrun.system import sockets
from devrun.system.locks import FileLock
from tests.support.ports import linked, main_checkout, project, service


def ports_of(found):
    return {port for named in found.ports.values() for port in named.values()}


def lease_of(state, worktree):
    return state.leases.get(worktree.identity)


def test_the_main_checkout_has_the_plain_numbers(state):
    found = claim(state, main_checkout(), project())
    assert (found.slot, found.offset) == (0, 0)
    assert found.ports == {"web": {"": 3000}, "api": {"": 3001}, "docs": {"": 3802}}


def test_a_linked_worktree_gets_other_ports_the_same_every_time(state):
    first = claim(state, linked("x"), project())
    assert first.slot > 0
    assert claim(state, linked("x"), project()) == first
    assert known(state, linked("x").identity) == first


def test_a_lost_ledger_gives_the_same_ports_again(state, tmp_path, monkeypatch):
    first = claim(state, linked("x"), project())
    monkeypatch.setenv("DEVRUN_STATE_DIR", str(tmp_path / "other"))
    with open_state() as other:
        assert claim(other, linked("x"), project()) == first


def test_worktrees_of_several_repositories_share_no_port(state):
    sets = [claim(state, linked(f"w{n}", f"repo{n % 3}"), project()) for n in range(60)]
    ports = [port for each in sets for port in ports_of(each)]
    assert len(ports) == len(set(ports))


def test_linked_worktrees_avoid_the_plain_numbers_of_known_mains(state):
    claim(state, main_checkout("other"), project(**{f"s{port}": port for port in range(3010, 5000, 10)}))
    found = claim(state, linked("x"), project(web=3000))
    assert not ports_of(found) & set(range(3010, 5000, 10))


def test_a_linked_worktree_that_comes_first_leaves_the_plain_numbers_to_its_main(state, start_run):
    aliasing = project(**{f"s{port}": port for port in range(3000, 3500, 10)})
    for number in range(20):
        claim(state, linked(f"w{number}"), aliasing)
        start_run(linked(f"w{number}"), "s3000")
    assert claim(state, main_checkout(), aliasing).slot == 0


def test_two_main_checkouts_may_both_have_the_plain_numbers(state):
    assert claim(state, main_checkout("one"), project()) == claim(state, main_checkout("two"), project())


def test_a_slot_whose_ports_are_in_use_is_passed_over_at_the_first_claim(state, busy):
    preferred = claim(state, linked("x"), project())
    release(state, [lease_of(state, linked("x"))])
    busy |= ports_of(preferred)
    assert claim(state, linked("x"), project()).slot != preferred.slot


def test_a_lease_does_not_move_because_somebody_sits_on_its_port(state, busy):
    first = claim(state, linked("x"), project())
    busy |= ports_of(first)
    assert claim(state, linked("x"), project()) == first
    assert claim(state, linked("x"), project(web=3000, api=3001, docs=3802, more=3900)).slot == first.slot


def test_adding_a_service_keeps_the_slot_when_it_fits(state):
    first = claim(state, linked("x"), project(web=3000))
    second = claim(state, linked("x"), project(web=3000, api=3001))
    assert second.slot == first.slot


def collide(state):
    """Two worktrees of two repositories, and a project for the second with a port of the first."""
    first = claim(state, linked("x", "one"), project(web=3000))
    second = claim(state, linked("y", "two"), project(api=4001))
    wanted = first.port("web") - second.offset
    return project(api=4001, extra=wanted), second


def test_a_lease_that_stopped_fitting_moves_and_says_why(state):
    changed, before = collide(state)
    said = []
    after = claim(state, linked("y", "two"), changed, say=said.append)
    assert after.slot != before.slot
    assert len(said) == 1
    assert "/home/u/x" in said[0]
    assert f"from slot {before.slot} to slot {after.slot}" in said[0]


def test_a_lease_with_a_live_run_does_not_move(state, start_run):
    changed, before = collide(state)
    start_run(linked("y", "two"), "api")
    with pytest.raises(PortConflictError, match="its run is live") as caught:
        claim(state, linked("y", "two"), changed)
    assert caught.value.exit_code == 3
    assert "/home/u/x" in caught.value.message
    assert known(state, linked("y", "two").identity) == before


def test_ports_of_a_live_run_stay_reserved_when_its_configuration_loses_them(state, start_run):
    end = start_run(linked("x"), "web", "api")
    first = claim(state, linked("x"), project(web=3000, api=3001))
    claim(state, linked("x"), project(web=3000))
    assert first.port("api") in state.leases.ports_of(linked("x").identity)
    end()
    claim(state, linked("x"), project(web=3000))
    assert first.port("api") not in state.leases.ports_of(linked("x").identity)


def test_a_late_main_moves_an_idle_linked_worktree_and_says_so(state):
    before = claim(state, linked("x"), project(web=3000))
    said = []
    late = claim(state, main_checkout("late"), project(web=before.port("web")), say=said.append)
    after = known(state, linked("x").identity)
    assert late.slot == 0
    assert not ports_of(after) & ports_of(late)
    assert "/home/u/x" in said[0]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_late_main_is_refused_by_name_when_the_linked_worktree_cannot_move(state, start_run, pinned):
    before = claim(state, linked("x"), project(web=3000), slot=7 if pinned else None)
    if not pinned:
        start_run(linked("x"), "web")
    with pytest.raises(PortConflictError, match="/home/u/x"):
        claim(state, main_checkout("late"), project(web=before.port("web")))
    assert known(state, linked("x").identity) == before
    assert known(state, main_checkout("late").identity) is None


def test_a_late_fixed_port_moves_whoever_has_it(state):
    before = claim(state, linked("x", "one"), project(web=3000))
    fixed = project(service("hook", before.port("web"), fixed=True))
    found = claim(state, linked("y", "two"), fixed)
    assert found.port("hook") == before.port("web")
    assert known(state, linked("x", "one").identity).slot != before.slot


def test_fixed_ports_do_not_move_and_may_be_on_several_leases(state):
    fixed = project(service("hook", 4242, fixed=True), web=3000)
    assert {claim(state, each, fixed).port("hook") for each in (linked("x"), linked("y"), main_checkout())} == {4242}


class TestPins:
    def test_the_flag_counts_before_the_variable_before_the_file(self, state, monkeypatch):
        configured = project(slot=5)
        assert claim(state, linked("x"), configured).slot == 5
        monkeypatch.setenv("DEVRUN_PIN_SLOT", "6")
        assert claim(state, linked("x"), configured).slot == 6
        assert claim(state, linked("x"), configured, slot=7).slot == 7

    def test_devrun_slot_is_output_only(self, state, monkeypatch):
        free = claim(state, linked("x"), project()).slot
        monkeypatch.setenv("DEVRUN_SLOT", str(free + 1))
        assert claim(state, linked("x"), project()).slot == free

    def test_a_pinned_slot_stays_when_the_pin_is_gone_and_the_main_returns(self, state):
        claim(state, linked("x"), project(), slot=7)
        assert claim(state, linked("x"), project()).slot == 7
        claim(state, main_checkout(), project(), slot=9)
        assert claim(state, main_checkout(), project()).slot == 0

    def test_a_main_keeps_its_pin_while_its_run_lives(self, state, start_run):
        claim(state, main_checkout(), project(), slot=9)
        end = start_run(main_checkout(), "web")
        assert claim(state, main_checkout(), project()).slot == 9
        end()
        assert claim(state, main_checkout(), project()).slot == 0

    def test_a_live_run_keeps_its_slot_whatever_the_file_pins(self, state, start_run):
        claim(state, linked("x"), project(slot=5), slot=7)
        end = start_run(linked("x"), "web")
        assert claim(state, linked("x"), project(slot=5)).slot == 7
        with pytest.raises(PortConflictError, match="runs on slot 7"):
            claim(state, linked("x"), project(slot=5), slot=6)
        end()
        assert claim(state, linked("x"), project(slot=5)).slot == 5

    def test_a_leased_slot_is_refused_by_name(self, state):
        claim(state, linked("x"), project(), slot=7)
        with pytest.raises(PortConflictError, match="/home/u/x"):
            claim(state, linked("y"), project(), slot=7)

    def test_a_slot_is_used_once_in_a_repository_even_when_no_port_meets(self, state):
        claim(state, linked("x"), project(web=3000), slot=7)
        with pytest.raises(PortConflictError, match="another worktree"):
            claim(state, linked("y"), project(web=5003), slot=7)

    def test_slot_0_is_the_main_checkouts(self, state):
        with pytest.raises(PortConflictError, match="main checkout"):
            claim(state, linked("x"), project(), slot=0)

    def test_a_slot_on_refused_ports_is_refused(self, state):
        with pytest.raises(PortConflictError, match="4190 is refused by browsers"):
            claim(state, linked("x"), project(), slot=119)

    @pytest.mark.parametrize("text", ["-1", "x", "1.5", "٣", "99999999", "6174", " 1"])
    def test_nonsense_is_a_usage_error(self, state, monkeypatch, text):
        monkeypatch.setenv("DEVRUN_PIN_SLOT", text)
        with pytest.raises(UsageError):
            claim(state, linked("x"), project())

    def test_a_live_run_is_not_moved_by_a_pin(self, state, start_run):
        claim(state, linked("x"), project(), slot=7)
        start_run(linked("x"), "web")
        with pytest.raises(PortConflictError, match="runs on slot 7"):
            claim(state, linked("x"), project(), slot=8)


class TestRelease:
    def test_a_released_lease_is_gone_and_a_second_release_does_nothing(self, state):
        claim(state, linked("x"), project())
        lease = lease_of(state, linked("x"))
        assert release(state, [lease]) == (lease,)
        assert release(state, [lease]) == ()
        assert state.leases.all() == []

    def test_a_lease_that_changed_since_it_was_read_is_kept(self, state):
        claim(state, linked("x"), project())
        lease = lease_of(state, linked("x"))
        claim(state, msgspec.structs.replace(linked("x"), file_id=FileId(1, 2)), project())
        assert release(state, [lease]) == ()
        assert known(state, linked("x").identity) is not None

    def test_a_lease_that_was_given_back_and_claimed_again_is_kept(self, state):
        claim(state, linked("x"), project())
        lease = lease_of(state, linked("x"))
        release(state, [lease])
        claim(state, linked("x"), project())
        assert release(state, [lease]) == ()

    def test_a_lease_with_a_live_run_is_kept(self, state, start_run):
        claim(state, linked("x"), project())
        start_run(linked("x"), "web")
        assert release(state, [lease_of(state, linked("x"))]) == ()

    def test_a_lease_whose_worktree_is_being_started_is_kept(self, state):
        claim(state, linked("x"), project())
        with FileLock.take(state.worktree_lock_path(linked("x").identity)):
            assert release(state, [lease_of(state, linked("x"))]) == ()
            assert release(state, [lease_of(state, linked("x"))], locked=True) != ()


def test_no_room_left_is_refused_with_the_way_out(state):
    wide = project(stride=1000, web=31000)
    claim(state, linked("x"), wide)
    with pytest.raises(PortConflictError) as caught:
        claim(state, linked("y"), wide)
    assert caught.value.exit_code == 3
    assert "devrun sweep" in caught.value.hint


def test_a_folder_that_became_a_repository_leaves_no_second_lease(state):
    folder = msgspec.structs.replace(main_checkout(), identity="/home/u/shop", repository=None)
    claim(state, folder, project())
    claim(state, main_checkout(), project())
    assert [lease.identity for lease in state.leases.all()] == ["/home/u/shop/.git"]


def test_a_refused_claim_writes_nothing(state, start_run):
    changed, _ = collide(state)
    start_run(linked("y", "two"), "api")
    before = state.leases.all()
    with pytest.raises(PortConflictError):
        claim(state, linked("y", "two"), changed)
    assert state.leases.all() == before


def test_a_dry_run_answers_as_the_claim_and_writes_nothing(state, start_run):
    foreseen = claim(state, linked("x"), project(), dry_run=True)
    assert lease_of(state, linked("x")) is None
    assert claim(state, linked("x"), project()) == foreseen
    start_run(linked("x"), "web")
    with pytest.raises(PortConflictError, match="live run"):
        claim(state, main_checkout("late"), project(web=foreseen.port("web")), dry_run=True)
    with pytest.raises(UsageError):
        claim(state, linked("y"), project(), slot=-1, dry_run=True)
    assert lease_of(state, linked("y")) is None


def test_a_reader_cannot_claim(state):
    with open_state(create=False) as reader, pytest.raises(StateError, match="reading only"):
        claim(reader, linked("x"), project())


class Ledger(RuleBasedStateMachine):
    """Whatever is claimed, changed, pinned and given back: no shifted port is on two leases."""

    def __init__(self):
        super().__init__()
        import tempfile

        self.folder = tempfile.mkdtemp(prefix="devrun-ledger-")
        self.state = open_state(path=f"{self.folder}/state")

    worktrees = st.sampled_from(
        [*(linked(f"w{n}", f"r{n % 2}") for n in range(6)), main_checkout("r0"), main_checkout("r1")]
    )
    bases = st.dictionaries(st.sampled_from("abc"), st.sampled_from([3000, 3001, 3010, 3020, 3050]), max_size=3)

    @rule(worktree=worktrees, bases=bases, pin=st.none() | st.integers(0, 6), fixed=st.booleans())
    def claim(self, worktree, bases, pin, fixed):
        unique = {port: name for name, port in bases.items()}
        services = [service(name, port, fixed=fixed and port == 3050) for port, name in unique.items()]
        wanted = project(*services) if services else project(service("none"))
        try:
            found = claim(self.state, worktree, wanted, slot=pin)
        except PortConflictError:
            return
        assert pin is None or found.slot == pin
        assert claim(self.state, worktree, wanted, slot=pin) == found

    @rule(worktree=worktrees)
    def give_back(self, worktree):
        lease = self.state.leases.get(worktree.identity)
        release(self.state, [lease] if lease else [])

    @invariant()
    def shifted_ports_are_on_one_lease(self):
        shifted, plain, slots = [], set(), []
        for lease in self.state.leases.all():
            slots.append((lease.repository, lease.slot))
            for port, is_shifted in self.state.leases.ports_of(lease.identity).items():
                if is_shifted:
                    shifted.append(port)
                else:
                    plain.add(port)
        assert len(shifted) == len(set(shifted))
        assert not plain & set(shifted)
        assert len(slots) == len(set(slots))

    def teardown(self):
        import shutil

        self.state.close()
        shutil.rmtree(self.folder)


@pytest.fixture(autouse=True, scope="module")
def nobody_listens_for_the_machine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets, "can_bind", lambda _port: True)
        yield


TestLedger = Ledger.TestCase
TestLedger.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
