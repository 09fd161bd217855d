"""What holds in every generated world; new rows of the tables come under these unasked."""

from __future__ import annotations

import random

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from devrun.decide import vetoes
from devrun.decide.classify import classify, decide
from devrun.decide.context import Context
from devrun.model import Folder, KillPlan, ProcessIdentity, ProcessSnapshot, Situation, Strength, Verdict, Veto
from tests.support.decisions import OPTIONAL, SELF, a_world

JUDGING = (Situation.GUARD, Situation.GUARD_FORCE, Situation.SWEEP, Situation.REAP)


def stopped(plan: KillPlan) -> set[ProcessIdentity]:
    return {step.record.identity for step in plan.steps}


def with_records(context: Context, records: list) -> Context:
    old = context.snapshot
    snapshot = ProcessSnapshot(records, self_pid=old.self_pid, boot_id=old.boot_id, listeners=old.listeners)
    return msgspec.structs.replace(context, snapshot=snapshot)


@given(a_world())
def test_nothing_without_positive_evidence_is_ever_in_a_plan(context):
    for step in decide(context).steps:
        strengths = {each.strength for each in step.evidence}
        assert Strength.PROOF in strengths or {Strength.CANDIDATE, Strength.HINT} <= strengths
        assert not step.vetoes


@given(a_world())
def test_every_row_has_a_reason_in_words(context):
    for each in classify(context):
        assert each.reason
        assert each.detail


@given(a_world(JUDGING))
def test_our_own_lineage_is_never_in_a_plan(context):
    own = {record.pid for record in context.snapshot.lineage(context.snapshot.self_pid)}
    assert not own & {identity.pid for identity in stopped(decide(context))}


@given(a_world())
def test_pid_1_and_below_is_never_in_a_plan(context):
    assert all(identity.pid > 1 for identity in stopped(decide(context)))


@given(a_world((Situation.TEARDOWN,)))
def test_a_teardown_never_signals_itself_its_anchors_or_its_ancestors(context):
    own = {record.pid for record in context.snapshot.lineage(context.snapshot.self_pid)}
    own |= {leader.pid for leader in context.tree.leaders.values()}
    assert not own & {identity.pid for identity in stopped(decide(context))}


@given(a_world())
def test_other_users_and_the_dead_are_never_in_a_plan(context):
    for step in decide(context).steps:
        assert step.record.uid == context.uid
        assert not step.record.is_zombie


@given(a_world(JUDGING))
def test_an_unknown_live_set_plans_nothing_for_its_repository(context):
    unknown = {identity: msgspec.structs.replace(place, live=None) for identity, place in context.surroundings.items()}
    sockets = {identity: msgspec.structs.replace(place, live=None) for identity, place in context.sockets.items()}
    plan = decide(msgspec.structs.replace(context, surroundings=unknown, sockets=sockets))
    for step in plan.steps:
        assert step.record.identity not in sockets
        place = unknown.get(step.record.identity)
        assert step.record.identity in context.untracked or (place is not None and place.root is None)


@given(a_world(JUDGING))
def test_nobody_of_whom_a_fact_is_missing_is_in_a_plan(context):
    for step in decide(context).steps:
        assert None not in [getattr(step.record, fact) for fact in OPTIONAL if fact not in {"pgid", "name"}]


@given(a_world(JUDGING))
def test_unreadable_runs_plan_nothing(context):
    assert decide(msgspec.structs.replace(context, runs=None)).is_empty


@given(a_world(), st.data())
def test_a_fact_that_turns_unknown_only_shrinks_the_plan(context, data):
    records = list(context.snapshot)
    victim = data.draw(st.sampled_from(records))
    fact = data.draw(st.sampled_from(OPTIONAL))
    assume(context.situation is not Situation.TEARDOWN or fact in {"ppid", "uid", "sid", "environment"})
    assume(victim.pid != SELF or "namespace" not in fact)  # our own are readable, or the system has none
    changed = [msgspec.structs.replace(each, **{fact: None}) if each is victim else each for each in records]
    assert stopped(decide(with_records(context, changed))) <= stopped(decide(context))


@given(a_world(), st.data())
def test_a_place_that_turns_unknown_only_shrinks_the_plan(context, data):
    assume(context.surroundings)
    assume(context.situation is not Situation.TEARDOWN)
    victim = data.draw(st.sampled_from(sorted(context.surroundings)))
    fact = data.draw(st.sampled_from(["", "folder", "live", "predecessor", "in_trash", "has_checkout"]))
    surroundings = dict(context.surroundings)
    if fact:
        surroundings[victim] = msgspec.structs.replace(surroundings[victim], **{fact: None})
    else:
        del surroundings[victim]
    changed = msgspec.structs.replace(context, surroundings=surroundings)
    assert stopped(decide(changed)) <= stopped(decide(context))


@given(a_world((Situation.SWEEP,)), st.data())
def test_a_worktree_that_turns_live_only_shrinks_the_plan(context, data):
    assume(context.surroundings)
    root = data.draw(st.sampled_from(sorted({each.root or "" for each in context.surroundings.values()})))
    assume(root)
    surroundings = {
        identity: place
        if place.root != root
        else msgspec.structs.replace(place, live=True, predecessor=False, folder=Folder.PRESENT, has_checkout=True)
        for identity, place in context.surroundings.items()
    }
    changed = msgspec.structs.replace(context, surroundings=surroundings)
    assert stopped(decide(changed)) <= stopped(decide(context))


@given(a_world((Situation.SWEEP, Situation.REAP)), st.data())
def test_a_daemon_whose_worktree_turns_live_or_unknown_only_shrinks_the_plan(context, data):
    assume(context.sockets)
    victim = data.draw(st.sampled_from(sorted(context.sockets)))
    facts = data.draw(st.sampled_from([{"live": None}, {"live": True, "predecessor": False}, {"folder": None}]))
    sockets = {**context.sockets, victim: msgspec.structs.replace(context.sockets[victim], **facts)}
    changed = msgspec.structs.replace(context, sockets=sockets)
    if context.situation is Situation.SWEEP or not context.is_here(sockets[victim]):
        assert stopped(decide(changed)) <= stopped(decide(context))


@given(a_world((Situation.SWEEP,)))
def test_a_listed_process_is_never_stopped(context):
    assert not stopped(decide(context)) & set(context.tracked)


@given(a_world(), st.data())
def test_a_veto_that_is_added_only_shrinks_the_plan(context, data):
    victim = data.draw(st.sampled_from([record.identity for record in context.snapshot]))

    def extra(record, _context, /):
        return Veto("extra", "because") if record.identity == victim else None

    before = stopped(decide(context))
    rows = vetoes.VETOES
    try:
        vetoes.VETOES = (*rows, vetoes.VetoRow(extra, frozenset(Situation), even_ours=True))
        after = stopped(decide(context))
    finally:
        vetoes.VETOES = rows
    assert after <= before - {victim}


@given(a_world(), st.randoms(use_true_random=False))
def test_the_order_of_the_process_table_changes_nothing(context, chance: random.Random):
    records = list(context.snapshot)
    chance.shuffle(records)
    assert decide(with_records(context, records)) == decide(context)


@given(a_world(JUDGING))
def test_a_second_plan_after_success_is_empty(context):
    plan = decide(context)
    gone = stopped(plan)
    left = [record for record in context.snapshot if record.identity not in gone]
    assert decide(with_records(context, left)).is_empty


@given(a_world())
def test_nobody_is_in_a_plan_twice_and_children_come_before_their_parents(context):
    plan = decide(context)
    identities = [each.record.identity for each in (*plan.steps, *plan.spared)]
    assert len(identities) == len(set(identities))
    depths = [len(context.snapshot.lineage(step.record.pid)) for step in plan.steps]
    assert depths == sorted(depths, reverse=True)


@given(a_world())
def test_a_plan_has_only_stops_and_the_spared_have_none(context):
    plan = decide(context)
    assert {each.verdict for each in plan.steps} <= {Verdict.STOP}
    assert Verdict.STOP not in {each.verdict for each in plan.spared}


@given(a_world((Situation.GUARD,)), st.sampled_from(["", " ", "\t"]))
def test_an_empty_match_and_no_port_plan_nothing(context, pattern):
    target = msgspec.structs.replace(context.target, match=pattern, ports=frozenset())
    assert decide(msgspec.structs.replace(context, target=target, run=None)).is_empty


@given(a_world())
def test_a_suspect_is_never_stopped(context):
    assert not stopped(decide(context)) & set(context.suspects)
