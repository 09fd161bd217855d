"""What people hear of a run whose services are not ready in time: which, how they stand, their last lines."""

from __future__ import annotations

from collections.abc import Collection

from devrun.errors import DevrunError, NotReadyError
from devrun.model import RunRecord
from devrun.run.output.lastwords import last_words
from devrun.run.plan import RunResult
from devrun.run.talk import protocol
from devrun.run.talk.client import ask
from devrun.run.talk.protocol import Ask, ServiceStatus
from devrun.state import State

EXPLAIN_PATIENCE = 2.0
"""Seconds beyond the time-out for a run to say who is late.  Shorter calls a busy one silent; longer makes
`--timeout 6` a wait of another length where somebody stopped the supervisor."""


def has_completed(each: ServiceStatus) -> bool:
    """Tell whether a service has ended as it should."""
    return each.state == "exited" and not each.exit_code and not each.missed


def explain_late(state: State, run: RunRecord, names: Collection[str], timeout: float) -> RunResult:
    """Return as a result (124) who of `names` (none: of all) is late; one that does not answer is said to be so."""
    try:
        services = ask(run, Ask(protocol.STATUS), timeout=EXPLAIN_PATIENCE).services
    except DevrunError as error:
        message = f"not ready after {timeout:g} s: {error.message}"
        return RunResult(NotReadyError.exit_code, message, hint=error.hint, is_error=True)
    wanted = [each for each in services if not names or each.name in names]
    late = [each for each in wanted if not each.ready and not has_completed(each)]
    who = ": " + ", ".join(f"`{each.name}` ({each.state})" for each in late) if late else ", but a moment later"
    return RunResult(
        NotReadyError.exit_code,
        f"not ready after {timeout:g} s{who}",
        hint="`devrun logs`",
        is_error=True,
        last_lines=last_words(state, run, [each.name for each in late]),
    )
