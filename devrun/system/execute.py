"""The one function that stops processes.

What it promises:

1. Only steps of a `KillPlan` are signalled, each through a handle that was opened by identity: a
   step whose process has ended, or whose pid has a successor, is ALREADY_GONE without a signal.
2. Each process gets one polite signal (SIGTERM, or what its service asked for), parents first, and
   SIGCONT, because a stopped process acts on nothing else (signal(7)).  A parent that saw its child
   end before it was asked itself would say so (`sh`: "Terminated"), or start another one.
3. All share one grace: `deadline` is one point in time, however many processes there are.
   `hurry()` ends it early.
4. Nobody is killed who ended on the first signal.  What is left at the deadline gets SIGKILL.
5. With `rescan` (a fresh plan over a fresh snapshot) the tree is looked at again when nobody is left
   (after a `Wait` for nobody, so that stops in one loop can share a reading); newcomers are asked
   politely as well.  Before the kill everybody is frozen with SIGSTOP, parents first, until a rescan
   finds nobody new: a tree that forks faster than it is killed stands still.  Rounds are bounded.
6. Whatever fails while processes are frozen, whoever was not killed gets SIGCONT.
7. Every step, newcomers included, gets exactly one `StepResult`, after its end was confirmed.  Who
   is still there `CONFIRM_SECONDS` after SIGKILL (uninterruptible sleep, no permission) SURVIVED.

It is a generator, so that the supervisor's loop drives it beside everything else, `drive` drives it
alone, and tests drive it with a clock of their own.  It yields `Wait`; the driver resumes it when
one of the handles is gone or the time has come, and may do so earlier.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import NamedTuple, Protocol, TypeVar, cast

from devrun.errors import DevrunError
from devrun.model import Classified, KillPlan, Outcome, ProcessIdentity, StepResult

CONFIRM_SECONDS = 2.0
"""After SIGKILL: shorter calls a process a survivor that is still writing its core or freeing gigabytes;
longer keeps people waiting for one that hangs in the kernel."""

HURRY_SECONDS = 0.1
"""How often `hurry` is asked: the delay a second Ctrl-C may have in the blocking driver."""
MAX_ROUNDS = 10
"""Rescans of one kind.  Fewer let a fast fork storm slip, more go on for ever against something that
does not stand still when it is stopped."""


class ProcessHandle(Protocol):
    """One process, held by identity (`control.Handle`, or a fake)."""

    def send(self, signum: int, /) -> bool:
        """Send one signal; False when the process has ended."""
        ...

    def is_gone(self) -> bool:
        """Whether the process has ended; a zombie has."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when it ends, None where there is none."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


class ProcessControl(Protocol):
    """What opens handles (`control.SystemControl`, or a fake)."""

    def open(self, identity: ProcessIdentity, /) -> ProcessHandle | None:
        """Return a handle on exactly this process, None when it is gone."""
        ...


class Wait(NamedTuple):
    """What the generator asks of its driver: resume when a handle is gone, or at `until` (monotonic)."""

    handles: tuple[ProcessHandle, ...]
    until: float


Stopping = Generator[Wait, None, tuple[StepResult, ...]]
Result = TypeVar("Result")


def never() -> bool:
    """Keep the grace: the default of `hurry`."""
    return False


class _Target:
    """One step on its way to its outcome."""

    __slots__ = ("asked_at", "frozen", "handle", "killed", "result", "step")

    def __init__(self, step: Classified, handle: ProcessHandle | None) -> None:
        self.step = step
        self.handle = handle
        self.asked_at: float | None = None
        self.frozen = False
        self.killed = False
        self.result: StepResult | None = None


def execute(  # noqa: PLR0913 - one call says everything about one stop
    plan: KillPlan,
    control: ProcessControl,
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    signals: Mapping[ProcessIdentity, int] | None = None,
    rescan: Callable[[], KillPlan] | None = None,
    hurry: Callable[[], bool] = never,
) -> Stopping:
    """Stop the processes of `plan` and return one result for each, in the order they were planned and found.

    `deadline` is the end of the shared grace on `clock`.  `signals` replaces SIGTERM as the first
    signal of single processes.  Steps of a `rescan` that are not known yet join in.
    """
    stopping = _Stopping(control, clock, signals or {}, rescan)
    try:
        stopping.add(plan)
        yield from _politely(stopping, deadline, hurry)
        for _ in range(MAX_ROUNDS):
            if not stopping.alive():
                break
            stopping.freeze_all()
            stopping.kill_all()
            yield from _await(stopping, clock() + CONFIRM_SECONDS, never)
            stopping.give_up()
            if not stopping.discover():
                break
        return stopping.results()
    finally:
        stopping.release()


def _politely(stopping: _Stopping, deadline: float, hurry: Callable[[], bool]) -> Generator[Wait, None, None]:
    """Ask everybody, wait for the shared grace; ask newcomers as long as it lasts."""
    for _ in range(MAX_ROUNDS):
        stopping.ask_all()
        yield from _await(stopping, deadline, hurry)
        if stopping.alive() or stopping.rescan is None:
            return
        yield Wait((), stopping.clock())
        if not stopping.discover():
            return


def _await(stopping: _Stopping, until: float, hurry: Callable[[], bool]) -> Generator[Wait, None, None]:
    """Wait until everybody is gone, `until` has passed, or somebody is in a hurry."""
    while (alive := stopping.alive()) and stopping.clock() < until and not hurry():
        soon = until if hurry is never else min(until, stopping.clock() + HURRY_SECONDS)
        yield Wait(tuple(target.handle for target in alive if target.handle is not None), soon)


class _Stopping:
    """The targets of one call, and what can be done to all of them."""

    def __init__(
        self,
        control: ProcessControl,
        clock: Callable[[], float],
        signals: Mapping[ProcessIdentity, int],
        rescan: Callable[[], KillPlan] | None,
    ) -> None:
        self.clock = clock
        self._control = control
        self._signals = signals
        self.rescan = rescan
        self._targets: dict[ProcessIdentity, _Target] = {}

    def add(self, plan: KillPlan) -> list[_Target]:
        """Open the steps that are not known yet.  Nothing is signalled before all of them are open."""
        added = []
        for step in plan.steps:
            if step.record.identity in self._targets:
                continue
            target = _Target(step, self._control.open(step.record.identity))
            self._targets[step.record.identity] = target
            if target.handle is None or target.handle.is_gone():
                target.result = StepResult(step, Outcome.ALREADY_GONE)
            else:
                added.append(target)
        return added

    def discover(self) -> list[_Target]:
        """Look again; return the newcomers.  A look that fails finds nobody: what is known is stopped all the same."""
        if self.rescan is None:
            return []
        try:
            return self.add(self.rescan())
        except (DevrunError, OSError):
            return []

    def alive(self) -> list[_Target]:
        """Return who has no result yet, after giving one to everybody who has ended."""
        left = []
        for target in self._targets.values():
            if target.result is not None:
                continue
            if target.handle is None or target.handle.is_gone():
                self._conclude(target)
            else:
                left.append(target)
        return left

    def ask_all(self) -> None:
        """Send the first signal, and SIGCONT, to everybody who was not asked yet; parents first."""
        for target in reversed(self.alive()):
            if target.asked_at is not None:
                continue
            first = self._signals.get(target.step.record.identity, signal.SIGTERM)
            asked_at = self.clock()  # not after the signal: it may have acted before we go on
            if not self._send(target, first):
                self._conclude(target)
                continue
            target.asked_at = asked_at
            if first == signal.SIGKILL:
                target.killed = True
            else:
                self._send(target, signal.SIGCONT)

    def freeze_all(self) -> None:
        """Stop everybody, parents first, until a rescan finds nobody new.  Without rescan there is no need."""
        if self.rescan is None:
            return
        self._freeze(self.alive())
        for _ in range(MAX_ROUNDS):
            newcomers = self.discover()
            if not newcomers:
                return
            self._freeze(newcomers)

    def kill_all(self) -> None:
        """Send SIGKILL to everybody who is left; a frozen process dies of it without SIGCONT (signal(7))."""
        for target in self.alive():
            if not target.killed and self._send(target, signal.SIGKILL, denied=False):
                target.killed = True
                target.asked_at = self.clock() if target.asked_at is None else target.asked_at

    def give_up(self) -> None:
        """Conclude that whoever is still there survived."""
        for target in self.alive():
            target.result = StepResult(target.step, Outcome.SURVIVED, self._seconds(target))

    def results(self) -> tuple[StepResult, ...]:
        """Return one result for each target, in the order they were planned and found."""
        self.give_up()
        return tuple(target.result for target in self._targets.values() if target.result is not None)

    def release(self) -> None:
        """Let everybody run again who was frozen and not killed, and close the handles."""
        for target in self._targets.values():
            if target.frozen:
                with contextlib.suppress(OSError):  # the next one must run again whatever happens to this one
                    self._send(target, signal.SIGCONT)
        for target in self._targets.values():
            if target.handle is not None:
                target.handle.close()

    def _freeze(self, targets: Iterable[_Target]) -> None:
        for target in reversed(list(targets)):
            target.frozen = True
            self._send(target, signal.SIGSTOP)

    def _conclude(self, target: _Target) -> None:
        """Record an end, and whose signal it was: nobody's, the first, or SIGKILL."""
        outcome = Outcome.ALREADY_GONE if target.asked_at is None else Outcome.TERMINATED
        if target.killed:
            outcome = Outcome.KILLED
        target.frozen = False
        target.result = StepResult(target.step, outcome, self._seconds(target))

    def _seconds(self, target: _Target) -> float:
        return 0.0 if target.asked_at is None else self.clock() - target.asked_at

    @staticmethod
    def _send(target: _Target, signum: int, *, denied: bool = True) -> bool:
        """Send; False when the process has ended.  A refusal by the kernel is `denied`: in the end it has survived."""
        try:
            return target.handle is not None and target.handle.send(signum)
        except PermissionError:
            return denied


def drive(steps: Generator[Wait, None, Result]) -> Result:
    """Drive a stop, or a clean-up around it, to its end where nothing else is to be done meanwhile."""
    from devrun.system.control import wait_for_one

    try:
        wait = next(steps)
        while True:
            wait_for_one(wait.handles, wait.until)
            wait = steps.send(None)
    except StopIteration as finished:
        return cast(Result, finished.value)
    finally:
        steps.close()
