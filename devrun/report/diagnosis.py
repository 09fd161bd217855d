"""What the doctor found: the JSON object and the lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from devrun.cleanup.values import ERROR, INFO, WARNING, Finding, SweepReport
from devrun.model import Verdict
from devrun.report.cleaning import process_row
from devrun.report.console import Output

_COLOURS = {ERROR: "red", WARNING: "yellow", INFO: "cyan"}


def doctor_data(findings: Sequence[Finding], swept: SweepReport) -> dict[str, Any]:
    """Return the `data` of `doctor`: findings, whom a sweep would stop, and whom it leaves and why."""
    return {
        "problems": [
            {"where": each.where, "message": each.message, "hint": each.hint, "severity": each.severity}
            for each in findings
        ],
        "would_stop": [process_row(each) for each in swept.plan.steps],
        "spared": [process_row(each) for each in swept.spared],
    }


def doctor_lines(findings: Sequence[Finding], swept: SweepReport, output: Output) -> Iterator[str]:
    """Yield a line and perhaps a hint per finding, then the processes a sweep looked at."""
    for each in findings:
        label = output.style(f"{each.severity}:", _COLOURS[each.severity], "bold")
        yield f"{label} {each.where}: {each.message}" if each.where else f"{label} {each.message}"
        if each.hint:
            yield f"hint: {each.hint}"
    for step in swept.plan.steps:
        yield f"a sweep would stop {step.record.pid} `{step.record.title}` ({step.detail})"
    for spared in swept.spared:
        verb = "reports" if spared.verdict is Verdict.REPORT else "leaves"
        yield f"a sweep {verb} {spared.record.pid} `{spared.record.title}`: {spared.detail}"
    if not findings and not swept.plan.steps:
        yield "nothing is wrong"
