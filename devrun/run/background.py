"""Run in the background: the keeper in a session of its own, and the command that waits for it to be up."""

from __future__ import annotations

import os
import select
import signal
import time

import msgspec

from devrun.config.project import ReadyKind
from devrun.errors import DevrunError, NotReadyError
from devrun.interrupt import ASKING
from devrun.model import ProcessIdentity, RunRecord
from devrun.run.keeper import explain
from devrun.run.launch import run_to_end
from devrun.run.plan import STOP_MARGIN, RunPlan, RunResult, decode_result, encode_result
from devrun.run.talk import protocol
from devrun.run.talk.client import SilentError, ask
from devrun.run.talk.live import end_run
from devrun.run.talk.protocol import Answer, Ask
from devrun.state import open_state
from devrun.system.control import send_to
from devrun.system.locks import FileLock
from devrun.system.processes import identify
from devrun.system.spawn import close_inherited, fork
from devrun.system.waiting import BY_SIGNAL

_POLL = 0.02
START_PATIENCE = 60.0
"""Seconds for a run to listen, and to answer, while it starts everything.  Shorter takes a start on a loaded machine
for a hang, and ends it; longer waits for a supervisor that somebody stopped."""
EXPLAINED = 0.5
"""Seconds beyond `--timeout` for the run itself to give up: it knows what it waited for."""
_LOST = RunResult(
    BY_SIGNAL + signal.SIGKILL,
    "the keeper of the run was killed while it started",
    hint="`devrun sweep` stops what it may have left",
    is_error=True,
)
"""From a keeper that told nothing: whatever else ends one, it does."""


class Background:
    """A run that was started in the background, as long as the command that started it looks on."""

    def __init__(self, plan: RunPlan, result: int, keeper: ProcessIdentity | None) -> None:
        """Take the pipe that carries the RunResult when the run ends."""
        self._plan = plan
        self._result = result
        self._keeper = keeper

    def wait(self, *, ready: bool, timeout: float | None) -> Answer | RunResult:
        """Wait until the run is up (`ready`: until every service is), or has ended already.

        A run that is not ready after `timeout` seconds is ended; one that ends without an error before it
        is ready has failed.  Whatever interrupts the waiting ends the run, too: nothing is left of a start
        that failed.
        """
        until = None if timeout is None else time.monotonic() + timeout + EXPLAINED
        try:
            record = self.published()
            if record is not None:
                answer = self._wait(record, ready=ready, until=until, timeout=timeout)
            else:
                answer = self.ended()
            return self._judged(answer) if ready and isinstance(answer, RunResult) else answer
        except BaseException:
            self.abandon()
            raise

    def _wait(
        self, record: RunRecord, *, ready: bool, until: float | None, timeout: float | None
    ) -> Answer | RunResult:
        try:
            left = None if until is None else max(0.0, until - time.monotonic())
            answer = ask(record, Ask(protocol.STATUS), timeout=START_PATIENCE if left is None else left)
            if ready and not answer.stopping:
                left = None if until is None else max(0.0, until - time.monotonic())
                answer = ask(record, Ask(protocol.WAIT), timeout=left)
        except (NotReadyError, SilentError):
            if timeout is None:
                raise
            return self._give_up(record, timeout)
        except DevrunError:  # it hung up, or is stopping: it says itself why
            if not self._has_ended(self._plan.grace + STOP_MARGIN):
                raise
            return self.ended()
        return self.ended() if answer.stopping else answer

    def _judged(self, result: RunResult) -> RunResult:
        """Return how a run ended that was to get ready: well only where nobody in it has to get ready.

        A migration that exits with 0 has done what was asked; a server that does is not there.
        """
        awaited = any(service.ready.kind is not ReadyKind.STARTED for service in self._plan.services)
        if result.exit_code or not awaited:
            return result
        return msgspec.structs.replace(
            result, exit_code=1, message=f"{result.message}, before everything was ready", is_error=True
        )

    def published(self) -> RunRecord | None:
        """Wait for the record of the run and, with patience, for its socket; None when the run ended before.

        Raises DevrunError when there is no record in time.
        """
        until = time.monotonic() + START_PATIENCE
        with open_state(create=False, path=self._plan.state_path) as state:
            while not self._has_ended(_POLL):
                record = state.runs.get(self._plan.id)
                is_late = time.monotonic() >= until
                if record is not None and (os.path.exists(self._plan.socket) or is_late):
                    return record
                if is_late:
                    words = f"the run did not begin in {START_PATIENCE:g} s, and was ended"
                    raise DevrunError(words, hint="`devrun doctor`")
        return None

    def _has_ended(self, seconds: float) -> bool:
        """Wait so long for the end of the run.  By poll(2): who calls may have left a thousand descriptors open here."""
        poll = select.poll()
        poll.register(self._result, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def ended(self) -> RunResult:
        """Wait for the end of the run; return how it ended."""
        with open(self._result, "rb", closefd=False) as reader:
            said = reader.read()
        return decode_result(said) or _LOST

    def abandon(self) -> None:
        """End the run, whatever it is doing, and wait for its end; again does nothing."""
        if self._keeper is not None and send_to(self._keeper, signal.SIGTERM):
            send_to(self._keeper, signal.SIGCONT)  # somebody may have stopped it
            self.ended()

    def _give_up(self, record: RunRecord, timeout: float) -> RunResult:
        from devrun.run.talk.lateness import explain_late

        with open_state(path=self._plan.state_path) as state:
            late = explain_late(state, record, (), timeout)
            end_run(state, record)
        return msgspec.structs.replace(late, message=f"{late.message}; the run was stopped")


def start_in_background(plan: RunPlan, starting: FileLock) -> Background:
    """Fork the keeper into a session of its own, without a terminal, and return at once.

    `starting` is the worktree's lock, given back when the run is published.  No database may be open
    here.
    """
    reader, writer = os.pipe()
    pid = fork(ASKING)
    if pid == 0:
        os.close(reader)
        _keep(plan, starting, writer)
    os.close(writer)
    starting.close()
    return Background(plan, reader, identify(pid))


def _keep(plan: RunPlan, starting: FileLock, writer: int) -> None:
    """In the child: keep the run, tell how it ended, never return."""
    result = _LOST
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        close_inherited()  # somebody may wait for the end of a pipe, and this lives on
        result = run_to_end(plan, starting)
    except BaseException as error:  # noqa: BLE001 - the boundary of this process
        result = explain(error, "keeper")
    finally:
        _tell(writer, result)
        os._exit(result.exit_code & 0xFF)


def _tell(writer: int, result: RunResult) -> None:
    try:
        os.write(writer, encode_result(result))
    except BrokenPipeError:  # whoever started the run has long gone on
        return
