"""From verdicts to the plan: the only thing the executor accepts, and what a dry run prints."""

from __future__ import annotations

from collections.abc import Iterable

from devrun.model import Classified, KillPlan, ProcessSnapshot, Verdict


def make_plan(classified: Iterable[Classified], snapshot: ProcessSnapshot, /) -> KillPlan:
    """Order the verdicts: steps deepest first, so that children end before anybody can adopt them.

    The order depends on the processes alone, not on the order of the process table.  Nobody is in
    the plan twice.
    """
    rows = {each.record.identity: each for each in classified}
    steps = [each for each in rows.values() if each.verdict is Verdict.STOP]
    spared = [each for each in rows.values() if each.verdict is not Verdict.STOP]
    depth = {each.record.identity: len(snapshot.lineage(each.record.pid)) for each in steps}
    steps.sort(key=lambda each: (-depth[each.record.identity], each.record.identity))
    spared.sort(key=lambda each: each.record.identity)
    return KillPlan(steps=tuple(steps), spared=tuple(spared))
