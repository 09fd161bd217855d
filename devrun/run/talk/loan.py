"""Services for the time of one command: what is missing is started, and ends with its last user.

The loan is a connection to the run that stands until it is given back.  Whoever holds one may be
killed in any way: the run sees the connection end, and stops what nobody else needs.
"""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType
from typing import Self

from devrun.errors import DevrunError, NotReadyError
from devrun.model import PortSet, RunRecord
from devrun.run.background import Background, start_in_background
from devrun.run.plan import RunPlan, RunResult
from devrun.run.talk import protocol
from devrun.run.talk.adding import Wanted, add_services
from devrun.run.talk.client import UnreachableError, ask, connect, read_first_line, read_line, send
from devrun.run.talk.joining import refuse_ending
from devrun.run.talk.protocol import Answer, Ask, VersionError, decode_answer
from devrun.system.locks import FileLock

RETURN_PATIENCE = 20.0
"""Seconds beyond the grace for a run to say that what was borrowed is down.  Shorter leaves services
that are only slow to end; longer waits for a supervisor that somebody stopped."""


class Loan:
    """A claim on services of a run; a context manager that gives it back."""

    def __init__(self, run: RunRecord, names: tuple[str, ...], borrowed: tuple[str, ...], *, grace: float) -> None:
        """Claim `names`; those in `borrowed` are stopped when nobody claims them any more, which takes up to `grace`."""
        self._patience = grace + RETURN_PATIENCE
        self._connection: socket.socket | None = connect(run)
        try:
            send(self._connection, Ask(protocol.HOLD, names=names, borrowed=borrowed))
            read_first_line(run, self._connection)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> Answer | None:
        """End the claim and wait until what was borrowed is down; None when the run hung up.  Again does nothing.

        Raises NotReadyError when the run says nothing for longer than that can take.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return None
        with connection, contextlib.suppress(OSError, UnreachableError, VersionError):
            connection.shutdown(socket.SHUT_WR)
            return decode_answer(read_line(connection, timeout=self._patience)[0])
        return None


class NewRun:
    """A run that was started for its holders only."""

    def __init__(self, plan: RunPlan, starting: FileLock) -> None:
        """Start it; `starting` is the worktree's lock.  No database may be open here."""
        self._names = tuple(service.name for service in plan.services)
        self._grace = plan.grace
        self._background: Background = start_in_background(plan, starting)
        self._loan: Loan | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back, and wait for the end of the run unless somebody else needs it."""
        if self._loan is None:
            self._background.abandon()
            return
        try:
            answer = self._loan.give_back()
        except NotReadyError:  # it hangs: its keeper ends it
            self._background.abandon()
            return
        if answer is None or answer.stopping:
            self._background.ended()

    def wait_ready(self, timeout: float | None) -> Answer | RunResult:
        """Wait for readiness; a RunResult says that the run has ended instead."""
        record = self._background.published()
        if record is not None:
            with contextlib.suppress(DevrunError):  # it is ending already: it says itself why, when it is waited for
                self._loan = Loan(record, self._names, (), grace=self._grace)
        return self._background.wait(ready=True, timeout=timeout)


class JoinedRun:
    """A live run that is used, and added to where it lacks something."""

    def __init__(self, wanted: Wanted, ports: PortSet) -> None:
        """Claim the services.  Raises EndingRunError when the claim came too late to keep the run."""
        self._wanted = wanted
        self._ports = ports
        self._loan = Loan(wanted.run, wanted.names, wanted.missing_names, grace=wanted.grace)
        try:
            refuse_ending(stopping=ask(wanted.run, Ask(protocol.STATUS)).stopping)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(NotReadyError):  # it hangs: what was borrowed ends when it goes on
            self._loan.give_back()

    def wait_ready(self, timeout: float | None) -> Answer | RunResult:
        """Start what is missing and wait for readiness; a RunResult says who was not ready in time."""
        return add_services(self._wanted, self._ports, wait=True, timeout=timeout)
