"""The safety contract: which processes devrun stops, and which it never touches.

This module decides; it reads nothing and signals nobody.  It gets one snapshot of the process table
and the facts around it (`Context`) and returns a verdict for everybody there is evidence about.
Guard, sweep, reap, the start of `up`, the teardown of a run and the keeper all ask here.

**A candidate** is a process there is positive evidence about (`matchers`, one row a kind).  No
evidence, no verdict: a process is never stopped for what it is not.  "Orphan" never means "its
parent is pid 1".

**It qualifies** with one proof, or with a candidate's mark (it listens on the service's port, its
command line has the service's `match`) and a hint together (it stands, or was started, in this
worktree; its worktree is gone, or with the `match` the one it was started in; its run is dead).  A
listener or a command line alone convicts nobody.  Proof is:

- in a sweep: the stamp of a run that its locks prove dead; a folder in a worktree that is gone by
  the table in `fate`; an fsmonitor socket of such a worktree; the `match` of a service and a start
  in such a worktree, when nobody is above it who looks after it; absence from a registry that
  tracks its kind;
- in a reap: standing in the worktree that is removed, or carrying its stamp;
- in a guard: the stamp of this very run and service; where strangers may be stopped, holding the
  service's port;
- in a teardown: being a member of the tree, by session, by descent, or by stamp.

**Descendants** of a process that is stopped in a guard, a sweep or a reap go with it: those of the
same kind of evidence only through their parent; with one that its registry does not list, the session
it leads.  Each is judged by itself, has its own row, and may be vetoed; what a protected program started
stays with that program.  Never a group, never a session.

**It stays** when anything objects (`vetoes`, one row a protection): we ourselves and our ancestors,
other users, other namespaces, container proxies and forwards, members of live runs and live
worktrees, shells, editors, debuggers, browsers, GUI programs, terminals, multiplexers, agents,
shared daemons, who has a terminal of its own, who is no development runtime.  Even the stamp lifts
no protection.  The first objection is the reason that is reported.

**What is unknown** counts for the process.  A fact of `None` is no evidence for a matcher and an
objection for `unreadable`.  A live set that git would not name spares the whole repository.  Every
fact turned to unknown, every worktree turned to live, every veto added can only make the plan
smaller; the tests hold this over generated worlds.

**Platforms**: the same decision everywhere.  Where the system has no namespaces both sides read
`None` and are equal; where it hides an environment there is no stamp, so less qualifies.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from devrun.decide.context import Context
from devrun.decide.matchers import MATCHERS, Matcher
from devrun.decide.plan import make_plan
from devrun.decide.tree import is_shelter
from devrun.decide.vetoes import objections
from devrun.model import (
    Classified,
    Evidence,
    KillPlan,
    ProcessIdentity,
    ProcessRecord,
    Situation,
    Strength,
    Verdict,
)

_GUARDS = frozenset({Situation.GUARD, Situation.GUARD_FORCE})
_WEIGHT = {Strength.PROOF: 0, Strength.HINT: 1, Strength.CANDIDATE: 2}
"""Order of what is told: the strongest first."""
_PASSABLE = frozenset({"shell", "no-runtime"})
"""Vetoes of a mere step between two servers (`sh -c`, `make`): it stays, and the walk down goes on."""


def decide(context: Context, /) -> KillPlan:
    """Classify everybody and make the plan: what the joint calls, what the tests hold."""
    return make_plan(classify(context), context.snapshot)


def classify(context: Context, /) -> tuple[Classified, ...]:
    """Return a verdict for every process there is evidence about, and for the descendants of those convicted."""
    evidence = {record.identity: found for record in _candidates(context) if (found := gather(record, context))}
    convicted = [identity for identity, found in evidence.items() if is_convicted(found)]
    context = _with_stale(context, convicted)
    judged = {
        identity: judge(record, found, context)
        for identity, found in evidence.items()
        if (record := context.snapshot.find(identity)) is not None and _is_about(found, context)
    }
    _judge_followers(context, judged, evidence)
    return tuple(judged.values())


def _candidates(context: Context) -> Iterable[ProcessRecord]:
    """Return who can be judged at all: in a teardown the members of the tree, few of a whole machine."""
    if context.situation is not Situation.TEARDOWN:
        return context.snapshot
    return [record for record in map(context.snapshot.find, context.members) if record is not None]


def gather(record: ProcessRecord, context: Context, /) -> tuple[Evidence, ...]:
    """Ask every matcher of the situation.

    The dead, who only wait to be reaped, are nobody's.  Of most processes nothing dear was read, because
    nothing pointed to them: no matcher could find anything.
    """
    if record.is_zombie or (context.situation is not Situation.TEARDOWN and not _is_known(record, context)):
        return ()
    return tuple([found for find in _matchers(context.situation) if (found := find(record, context)) is not None])


def _is_known(record: ProcessRecord, context: Context) -> bool:
    return (
        record.argv is not None
        or record.environment is not None
        or record.identity in context.surroundings
        or record.pid in context.holders
    )


@functools.cache
def _matchers(situation: Situation) -> tuple[Matcher, ...]:
    return tuple(row.find for row in MATCHERS if situation in row.situations)


def is_convicted(evidence: Iterable[Evidence], /) -> bool:
    """Say whether the evidence is enough: one proof, or a candidate's mark and a hint together."""
    strengths = {each.strength for each in evidence}
    return Strength.PROOF in strengths or {Strength.CANDIDATE, Strength.HINT} <= strengths


def judge(record: ProcessRecord, evidence: tuple[Evidence, ...], context: Context, /) -> Classified:
    """Weigh the evidence about one process against the objections."""
    vetoes = objections(record, context)
    if not is_convicted(evidence):
        verdict, reason, detail = _unproved(evidence)
        if vetoes and verdict is Verdict.SPARE:
            reason, detail = vetoes[0].rule, vetoes[0].detail
    elif vetoes:
        is_suspect = any(veto.rule == "suspect" for veto in vetoes)
        verdict = Verdict.REPORT if is_suspect else Verdict.SPARE
        reason, detail = vetoes[0].rule, vetoes[0].detail
    else:
        strongest = sorted(evidence, key=lambda each: _WEIGHT[each.strength])
        verdict, reason, detail = Verdict.STOP, strongest[0].rule, "; ".join(each.detail for each in strongest)
    stamp, place = context.stamp(record), context.where(record)
    service = stamp.service if stamp is not None else _service_of(record, context)
    worktree = stamp.worktree if stamp is not None else (None if place is None else place.root)
    return Classified(
        record=record,
        verdict=verdict,
        reason=reason,
        detail=detail,
        evidence=evidence,
        vetoes=vetoes,
        service=service,
        worktree=worktree,
    )


def _unproved(evidence: tuple[Evidence, ...]) -> tuple[Verdict, str, str]:
    """Name what is too little: a candidate without a hint is a stranger, a hint alone is worth a report."""
    candidates = [each for each in evidence if each.strength is Strength.CANDIDATE]
    if candidates:
        return Verdict.SPARE, "stranger", f"{candidates[0].detail}; nothing says that it is of this worktree"
    return Verdict.REPORT, evidence[0].rule, evidence[0].detail


def _is_about(evidence: tuple[Evidence, ...], context: Context) -> bool:
    """Say whether a guard is concerned: hints alone are about who stands in nobody's way."""
    if context.situation not in _GUARDS:
        return True
    return any(each.strength is not Strength.HINT for each in evidence)


def _with_stale(context: Context, convicted: list[ProcessIdentity]) -> Context:
    """Tell the vetoes who is a stale copy: convicted by a guard, or a descendant of one."""
    if context.situation is not Situation.GUARD or not convicted:
        return context
    stale = set(convicted)
    for identity in convicted:
        stale.update(each.identity for each in context.snapshot.descendants(identity.pid))
    return msgspec.structs.replace(context, stale=frozenset(stale))


def _judge_followers(
    context: Context,
    judged: dict[ProcessIdentity, Classified],
    evidence: Mapping[ProcessIdentity, tuple[Evidence, ...]],
) -> None:
    """Judge the descendants of those that are stopped, who are not stopped for a reason of their own.

    The walk ends at whoever stays, but for a wrapper: `sh -c` or `make` between two servers.  A
    teardown knows its tree already.
    """
    if context.situation is Situation.TEARDOWN:
        return
    stopped = sorted(each.record.identity for each in judged.values() if each.verdict is Verdict.STOP)
    for parent in stopped:
        barred: set[int | None] = set()
        for record, bond in _followers(parent, context):
            verdict = judged.get(record.identity)
            if record.ppid in barred:
                barred.add(record.pid)
                continue
            if not record.is_zombie and (verdict is None or not is_convicted(verdict.evidence)):
                inherited = Evidence("descendant", Strength.PROOF, f"{bond} {parent.pid}, which is stopped")
                verdict = judge(record, (*evidence.get(record.identity, ()), inherited), context)
                judged[record.identity] = verdict
            if verdict is not None and (is_shelter(record, context) or not _is_passable(verdict)):
                barred.add(record.pid)


def _followers(parent: ProcessIdentity, context: Context) -> Iterator[tuple[ProcessRecord, str]]:
    """Yield who goes with a process that is stopped, parents before their children.

    Its descendants; of one that its registry does not list also who was adopted away from it: the
    members of the session it leads, which nobody can enter who does not descend from it (setsid(2)).
    """
    below = context.snapshot.descendants(parent.pid)
    yield from ((record, "descends from") for record in below)
    leader = context.snapshot.find(parent)
    if parent not in context.untracked or leader is None or leader.sid != parent.pid:
        return
    known = {parent.pid, *(record.pid for record in below)}
    members = sorted((each for each in context.snapshot.session(parent.pid)), key=lambda each: each.identity)
    pids = {each.pid for each in members}
    for root in members:
        if root.pid not in known and root.ppid not in pids:
            for record in (root, *context.snapshot.descendants(root.pid)):
                if record.pid in pids - known:
                    yield record, "is in the session of"


def _is_passable(verdict: Classified) -> bool:
    return all(veto.rule in _PASSABLE for veto in verdict.vetoes)


def _service_of(record: ProcessRecord, context: Context) -> str | None:
    if context.target is not None:
        return context.target.service
    member = context.members.get(record.identity)
    return None if member is None else member.service
