"""Run in the background: the keeper in a session of its own, and the command that waits for it to be up."""

from __future__ import annotations

import os
import select
import time

import msgspec

from devrun.errors import DevrunError, NotReadyError
from devrun.model import RunRecord
from devrun.run import protocol
from devrun.run.client import UnreachableError, ask
from devrun.run.launch import run_to_end
from devrun.run.live import end_run
from devrun.run.plan import RunPlan, RunResult
from devrun.run.protocol import Answer, Ask
from devrun.state import open_state
from devrun.system.locks import FileLock

_POLL = 0.02
_LOST = RunResult(70, "the run was lost while it started", hint="`devrun doctor`", is_error=True)


class Background:
    """A run that was started in the background, as long as the command that started it looks on."""

    def __init__(self, plan: RunPlan, result: int) -> None:
        """Take the pipe that carries the RunResult when the run ends."""
        self._plan = plan
        self._result = result

    def wait(self, *, ready: bool, timeout: float | None) -> Answer | RunResult:
        """Wait until the run is up (`ready`: until every service is), or has ended already.

        A run that is not ready after `timeout` seconds is ended; raises NotReadyError (124) then,
        naming the services that were not.
        """
        until = None if timeout is None else time.monotonic() + timeout
        record = self._published()
        if record is None:
            return self._ended()
        try:
            answer = ask(record, Ask(protocol.STATUS))
            if ready:
                left = None if until is None else max(0.0, until - time.monotonic())
                answer = ask(record, Ask(protocol.WAIT), timeout=left)
        except NotReadyError as error:
            raise self._give_up(record, timeout) from error
        except UnreachableError:
            return self._ended()
        return self._ended() if answer.stopping or answer.code else answer

    def _published(self) -> RunRecord | None:
        """Wait for the record of the run and its socket; None when the run ended before."""
        with open_state(create=False, path=self._plan.state_path) as state:
            while not select.select([self._result], [], [], _POLL)[0]:
                record = state.runs.get(self._plan.id)
                if record is not None and os.path.exists(self._plan.socket):
                    return record
        return None

    def _ended(self) -> RunResult:
        with open(self._result, "rb") as reader:
            said = reader.read()
        return msgspec.msgpack.decode(said, type=RunResult) if said else _LOST

    def _give_up(self, record: RunRecord, timeout: float | None) -> DevrunError:
        services = ask(record, Ask(protocol.STATUS)).services
        waiting = ", ".join(f"`{each.name}` ({each.state})" for each in services if not each.ready)
        with open_state(path=self._plan.state_path) as state:
            end_run(state, record)
        return NotReadyError(f"not ready after {timeout:g} s: {waiting}; the run was stopped", hint="`devrun logs`")


def start_in_background(plan: RunPlan, starting: FileLock) -> Background:
    """Fork the keeper into a session of its own, without a terminal, and return at once.

    `starting` is the worktree's lock, given back when the run is published.  No database may be open
    here.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _keep(plan, starting, writer)
    os.close(writer)
    starting.close()
    return Background(plan, reader)


def _keep(plan: RunPlan, starting: FileLock, writer: int) -> None:
    """In the child: keep the run, tell how it ended, never return."""
    result = _LOST
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        result = run_to_end(plan, starting)
    except DevrunError as error:
        result = RunResult(error.exit_code, error.message, hint=error.hint, is_error=True)
    except BaseException as error:  # noqa: BLE001 - the boundary of this process
        from devrun.report.crash import report_bug

        report_bug(error, ["keeper"])
    finally:
        _tell(writer, result)
        os._exit(result.exit_code & 0xFF)


def _tell(writer: int, result: RunResult) -> None:
    try:
        os.write(writer, msgspec.msgpack.encode(result))
    except BrokenPipeError:  # whoever started the run has long gone on
        return
