"""What a guard, a sweep or a reap has to say: rows for JSON, lines for people.

The rows are the process rows of every command.  Plain text names who was stopped (in a dry run: who
would be) and what was given back, nothing else; `explain` adds everybody who was looked at, with
the evidence and every objection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devrun.cleanup.values import FileRow, GuardReport, LeaseRow, Removal, ServiceGuard, SweepReport
from devrun.model import Classified, Outcome, ProcessIdentity, StepResult, Verdict

Results = Mapping[ProcessIdentity, StepResult]


def process_row(each: Classified, result: StepResult | None = None) -> dict[str, Any]:
    """Return the row of one process."""
    record = each.record
    return {
        "pid": record.pid,
        "command": " ".join(record.argv) if record.argv else record.name,
        "cwd": None if record.cwd is None else record.cwd.path,
        "worktree": each.worktree,
        "service": each.service,
        "action": each.verdict.value,
        "reason": each.reason,
        "detail": each.detail,
        "outcome": None if result is None else result.outcome.value,
    }


def guard_data(report: GuardReport) -> dict[str, Any]:
    """Return the `data` of a guard."""
    return {"services": [_guarded(each) for each in report.services]}


def _guarded(each: ServiceGuard) -> dict[str, Any]:
    processes = _rows((*each.plan.steps, *each.plan.spared), each.results)
    processes += [_hidden_row(each.service, port) for port in each.hidden]
    return {"service": each.service, "ports": list(each.ports), "processes": processes, "blocked": each.is_blocked}


def _hidden_row(service: str, port: int) -> dict[str, Any]:
    empty = dict.fromkeys(("pid", "command", "cwd", "worktree", "outcome"))
    detail = f"port {port} is held by a process that is not visible"
    return {**empty, "service": service, "action": Verdict.SPARE.value, "reason": "hidden", "detail": detail}


def guard_lines(report: GuardReport, *, dry_run: bool) -> list[str]:
    """Return the lines of a guard: each process once, whichever service it was in the way of."""
    steps = {step.record.identity: step for each in report.services for step in each.plan.steps}
    return _step_lines(steps.values(), report.results, dry_run=dry_run)


def sweep_data(report: SweepReport) -> dict[str, Any]:
    """Return the `data` of a sweep or a reap."""
    return {
        "processes": _rows((*report.plan.steps, *report.plan.spared), report.results),
        "files": [
            {"path": each.path, "action": each.action, "reason": each.reason, "outcome": each.outcome}
            for each in report.files
        ],
        "leases": _leases(report.leases),
        "skipped": [{"what": each.what, "why": each.why} for each in report.skipped],
    }


def removal_data(removal: Removal) -> dict[str, Any]:
    """Return the `data` of `worktree remove`: the rows of its reap, and what else was done."""
    return {
        "path": removal.path,
        "removed": removal.removed,
        "runs": list(removal.runs),
        **sweep_data(removal.cleanup),
        "leases": _leases(removal.leases),
        "problems": list(removal.problems),
    }


def _leases(leases: Iterable[LeaseRow]) -> list[dict[str, Any]]:
    return [{"worktree": each.worktree, "slot": each.slot, "action": each.action} for each in leases]


def sweep_lines(report: SweepReport, *, dry_run: bool, explain: bool = False) -> list[str]:
    """Return the lines of a sweep or a reap."""
    lines = _step_lines(report.plan.steps, report.results, dry_run=dry_run, explain=explain)
    lines += [_file_line(each) for each in report.files if each.action == "remove" and each.outcome != "gone"]
    verb = "would release" if dry_run else "released"
    lines += [f"{verb} slot {each.slot} of `{each.worktree}`, which is gone" for each in report.leases]
    if explain:
        for each in report.plan.spared:
            verb = "report" if each.verdict is Verdict.REPORT else "spare"
            lines.append(f"{verb} {each.record.pid} `{each.record.title}`: {each.detail}")
            lines += _reasons(each)
    return lines


def _file_line(each: FileRow) -> str:
    if each.outcome is not None and each.outcome.startswith("failed: "):
        return f"could not remove `{each.path}` ({each.reason}): {each.outcome.removeprefix('failed: ')}"
    return f"{'would remove' if each.outcome is None else 'removed'} `{each.path}`: {each.reason}"


def skipped_lines(report: SweepReport) -> list[str]:
    """Return what could not be decided; said even when nothing was stopped."""
    return [f"skipped {each.what}: {each.why}" for each in report.skipped]


def step_line(step: Classified, result: StepResult | None, *, dry_run: bool = False) -> str:
    """Return the line of one stop: what, why, how it ended."""
    who = f"{step.record.pid} `{step.record.title}` ({step.detail})"
    if result is None:
        return f"would stop {who}" if dry_run else f"not stopped: {who}"
    if result.outcome is Outcome.SURVIVED:
        return f"could not stop {who}: still there after SIGKILL"
    if result.outcome is Outcome.ALREADY_GONE:
        return f"stopped {who}: had ended by itself"
    return f"stopped {who}: {result.outcome.value} in {result.seconds:.1f} s"


def left_line(each: Classified) -> str:
    """Return the line of a process that stays when its run ends: who, and why."""
    return f"left {each.record.pid} `{each.record.title}`: it {each.detail}"


def stop_lines(results: Iterable[StepResult]) -> list[str]:
    """Return the line of every stop that was carried out."""
    return [step_line(each.step, each) for each in results]


def _step_lines(
    steps: Iterable[Classified], results: Iterable[StepResult], *, dry_run: bool, explain: bool = False
) -> list[str]:
    by_identity = {each.step.record.identity: each for each in results}
    lines = []
    for step in steps:
        lines.append(step_line(step, by_identity.get(step.record.identity), dry_run=dry_run))
        lines += _reasons(step) if explain else []
    return lines


def _reasons(each: Classified) -> list[str]:
    lines = [f"    for: {found.rule} ({found.strength.value}): {found.detail}" for found in each.evidence]
    return lines + [f"    against: {veto.rule}: {veto.detail}" for veto in each.vetoes]


def _rows(classified: Iterable[Classified], results: Iterable[StepResult]) -> list[dict[str, Any]]:
    by_identity: Results = {each.step.record.identity: each for each in results}
    return [process_row(each, by_identity.get(each.record.identity)) for each in classified]
