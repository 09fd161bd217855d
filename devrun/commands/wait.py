"""`devrun wait [SERVICE…]`: until services of this worktree's run are ready."""

from __future__ import annotations

import time

from devrun.errors import DevrunError, NotReadyError, RefusedError, UsageError
from devrun.model import PortSet, RunRecord
from devrun.ports.ledger import known
from devrun.report.answers import Waited
from devrun.report.background import started_rows
from devrun.report.console import Output
from devrun.report.services import state_lines
from devrun.run.output.lastwords import last_words
from devrun.run.output.prefixes import OWN_NAME
from devrun.run.talk import protocol
from devrun.run.talk.changing import find_names
from devrun.run.talk.client import SilentError, ask
from devrun.run.talk.lateness import explain_late, has_completed
from devrun.run.talk.live import require_run, wait_until_over
from devrun.run.talk.overview import look_at
from devrun.run.talk.protocol import Ask, ServiceStatus, VersionError
from devrun.state import State, open_state
from devrun.workspace import check_timeout, find_worktree

END_PATIENCE = 15.0
"""Seconds for a run that is stopping to be over: two default graces and then some."""


def run(output: Output, *, services: list[str], timeout: float | None, file: str | None) -> int:
    """Wait; 0 when all are ready or completed, 124 not in time, else the code of who failed."""
    check_timeout(timeout)
    began = time.monotonic()
    with open_state(create=False) as state:
        worktree = find_worktree(file)
        found = require_run(state, worktree)
        names: tuple[str, ...] = ()
        try:
            there = ask(found, Ask(protocol.STATUS), timeout=timeout).services
            names = find_names(services, (each.name for each in there))
            left = None if timeout is None else max(0.0, began + timeout - time.monotonic())
            answer = ask(found, Ask(protocol.WAIT, names=names), timeout=left)
        except (UsageError, VersionError):
            raise
        except (NotReadyError, SilentError) as error:
            if timeout is None:
                raise
            if isinstance(error, SilentError):
                raise NotReadyError(f"not ready after {timeout:g} s: {error.message}", hint=error.hint) from error
            late = explain_late(state, found, names, timeout)
            raise NotReadyError(late.message, hint=late.hint) from error
        except DevrunError as error:
            left = END_PATIENCE if timeout is None else max(0.0, began + timeout - time.monotonic())
            return _explain_end(output, state, found, error, patience=min(left, END_PATIENCE))
        wanted = [each for each in answer.services if not names or each.name in names]
        lost = next((each for each in wanted if not each.ready and not has_completed(each)), None)
        if lost is not None:
            return _explain_loss(output, state, found, lost)
        _refuse_wrong_servers(state, found, {each.name for each in wanted})
        rows = started_rows(wanted, known(state, worktree.identity) or PortSet(slot=0, offset=0, ports={}))
    output.answer("wait", Waited(services=rows), state_lines(rows))
    return 0


def _explain_loss(output: Output, state: State, found: RunRecord, lost: ServiceStatus) -> int:
    """Say which service will not be ready, with its last lines; return its code."""
    for line in last_words(state, found, [lost.name]):
        output.say(f"  {line}")
    code = (lost.exit_code or 1) if lost.state == "failed" else 1
    message = lost.detail or f"`{lost.name}` is {lost.state}"
    output.fail(DevrunError(message, hint=f"`devrun start {lost.name}`"), exit_code=code)
    return code


def _explain_end(output: Output, state: State, found: RunRecord, error: DevrunError, *, patience: float) -> int:
    """Return the code that the run ends with, never 0; raise `error` when it only does not answer."""
    if not wait_until_over(state, found, patience):
        raise error
    record = state.runs.get(found.id)
    code = (record.exit_code if record is not None else None) or 1
    message = f"the run ended with exit code {code}" if record is not None and record.exit_code else "the run ended"
    message += f" before its services were ready{_why(state, record or found)}"
    output.fail(DevrunError(message, hint="`devrun logs`"), exit_code=code)
    return code


def _why(state: State, found: RunRecord) -> str:
    """Return why a run in the background ended: the last that it said itself.  In the foreground people saw it.

    One that never began to stop said nothing of its end.
    """
    if found.stopping_at is None:
        return ": its supervisor was lost"
    said = last_words(state, found, [OWN_NAME], count=1) if found.detached else ()
    return f": {said[0].removeprefix(f'{OWN_NAME} | ')}" if said else ""


def _refuse_wrong_servers(state: State, found: RunRecord, names: set[str]) -> None:
    """Raise RefusedError when a port of these services is answered by somebody else."""
    intruders = [each for view in look_at(state, [found], sample=0) for each in view.intruders]
    for intruder in intruders:
        if intruder.service in names:
            raise RefusedError(intruder.describe(), hint=f"`devrun guard {intruder.service} --dry-run`")
