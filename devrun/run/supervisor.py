"""The supervisor: one thread, one loop, that carries out what the state machine decides.

It lives in a session of its own without a terminal and is a subreaper.  Facts (a child ended, a
probe answered, a signal arrived, the worktree is gone) become events of `run.life.lifecycle`; the effects
that come back become starts, stops, probes and timers.  However the run ends, the last act is one
clean-up of everything that descends from this process or carries the run's stamp.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from devrun.config.project import Service
from devrun.interrupt import ASKING
from devrun.model import ProcessIdentity
from devrun.run import layers
from devrun.run.book import RunBook
from devrun.run.gate import Gate
from devrun.run.keeper import STOPPING, WRITING
from devrun.run.life import events as ev
from devrun.run.life.events import Effect, Event
from devrun.run.life.lifecycle import RunState, begin, step
from devrun.run.loop import Loop, Timer
from devrun.run.output.screen import Screen
from devrun.run.plan import PULSE, STOP_MARGIN, RunPlan, RunResult, conclude
from devrun.run.ready.asking import Asking
from devrun.run.roster import Roster
from devrun.run.signals import listen
from devrun.run.trees import Trees
from devrun.run.watch import Pulse, watch_folders, watch_processes
from devrun.system.control import send_to
from devrun.system.waiting import BY_SIGNAL

if TYPE_CHECKING:
    from devrun.run.talk.control import ControlServer

DOUBLED_INTERRUPT = 0.5
"""Seconds within which a second SIGINT is the same Ctrl-C.  npm with bash as its script shell sends
it twice; taking that for "now" would cut every drain.  Longer, and impatience goes unheard."""
LAST_GRACE = 0.5
"""Seconds a service gets when those that depend on it have used up the shared grace."""
HUNG_UP = BY_SIGNAL + signal.SIGHUP
BROKEN_PIPE = BY_SIGNAL + signal.SIGPIPE
DEAFNESS = 0.2
"""Seconds of acting on events between two looks at signals.  Longer, and Ctrl-C waits for hundreds of restarts."""
_REASONS = dict(zip(ASKING, ("interrupted", "terminated", "hung up", "quit"), strict=True))


class Supervisor:
    """One run, from its first start to its result."""

    def __init__(self, plan: RunPlan, *, keeper: ProcessIdentity, life: int, book: RunBook, folder: str) -> None:
        """`life` is a pipe whose end of file says that the keeper is gone; `folder` is the run's."""
        self._plan = plan
        self._keeper = keeper
        self._book = book
        self._gate = Gate(plan, book.state)
        self._events: deque[Event] = deque()
        self._roster = Roster(plan)
        self._loop = Loop()
        self._screen = Screen(plan, self._loop, folder=folder)
        self._trees = Trees(plan, self._loop, tell=self._events.append, feed=self._on_output, say=self._screen.notice)
        self._asking = Asking(
            self._roster, self._trees, self._loop, timeout=plan.ready_timeout, tell=self._events.append
        )
        self._restarts: dict[str, Timer] = {}
        self._state: RunState
        self._control: ControlServer
        self._stopping_since: float | None = None
        self._interrupted_at: float | None = None
        self._was_asked = False
        self._has_new_groups = False
        self._last_words: dict[str, tuple[str, ...]] = {}
        self._result: RunResult | None = None
        self._life = life

    def run(self) -> RunResult:
        """Run until everything has ended; return how."""
        listen(self._loop, (*_REASONS, signal.SIGWINCH, signal.SIGCHLD), self._on_signal)
        if layers.is_on(layers.KEEPER):
            self._loop.watch(self._life, self._on_keeper_gone)
        pulse = Pulse(self._loop)
        watch_processes(self._loop, pulse, self._plan.binding.watched, lambda why: self._stop_run(why, HUNG_UP))
        watch_folders(pulse, self._plan.worktree, self._book.folder, lambda why: self._stop_run(why, 1))
        self._state, effects = begin(self._plan.services)
        self._apply(effects)
        self._open_desk(pulse)
        while True:
            self._settle()
            if self._result is not None:
                break
            self._loop.turn(0.0 if self._events else self._screen.patience())
            self._screen.tend(self._trees.instances.values())
            if self._screen.is_closed and not self._state.is_stopping:
                self._stop_run("nobody reads the output any more", BROKEN_PIPE)
        self._control.close()
        self._write_out()
        self._tell_keeper(signal.SIGCONT)  # it may have been stopped since it was told
        return self._result

    def _open_desk(self, pulse: Pulse) -> None:
        """Listen to clients.  What talks to them, and asks services whether they are ready, is loaded now.

        The first services run by then and need none of it; nor does stopping, so that devrun's own
        files may have been deleted a moment later.
        """
        from devrun.run.ready import probing  # noqa: F401 - loaded while the files are there
        from devrun.run.talk.control import ControlServer
        from devrun.run.talk.desk import Desk

        desk = Desk(
            state=lambda: self._state,
            tell=self._events.append,
            roster=self._roster,
            trees=self._trees,
            screen=self._screen,
            is_borrowed=self._plan.borrower is not None,
        )
        self._control = ControlServer(self._plan.socket, self._loop, desk)
        pulse.add(self._control.heal)
        if self._plan.borrower is not None:  # killed before it held anything, nothing else would say so
            watch_processes(self._loop, pulse, (self._plan.borrower,), lambda _: desk.end_when_deserted())

    def _write_out(self) -> None:
        """Hand the last output over: to a slow reader all of it, once somebody asked for the end what it takes soon."""
        self._tell_keeper(WRITING)
        while not self._was_asked and self._screen.owes_output:
            self._loop.turn()
            self._screen.tend(())
            self._was_asked = any(isinstance(event, ev.StopRun) for event in self._events)
        self._tell_keeper(WRITING)  # who was asked meanwhile has started its clock: the rest has a bound of its own
        self._screen.close()

    # Facts from outside become events.

    def _on_signal(self, signum: signal.Signals) -> None:
        if signum is signal.SIGCHLD:
            self._trees.reap()
        elif signum is signal.SIGWINCH:
            self._trees.resize()
        elif os.getppid() != self._keeper.pid:
            self._on_keeper_gone()
        else:
            self._on_request(signum)

    def _on_request(self, signum: signal.Signals) -> None:
        now = self._loop.now()
        if signum is signal.SIGINT:
            if self._interrupted_at is not None and now - self._interrupted_at >= DOUBLED_INTERRUPT:
                self._trees.hurry()
            self._interrupted_at = self._interrupted_at or now
        self._stop_run(_REASONS[signum], BY_SIGNAL + signum)

    def _on_keeper_gone(self) -> None:
        self._loop.ignore(self._life)
        self._stop_run("the keeper of the run was killed", HUNG_UP)

    def _on_output(self, service: str, stream: str, chunk: bytes) -> None:
        self._screen.feed(service, stream, chunk)
        self._asking.feed(service, stream, chunk)

    def _stop_run(self, reason: str, exit_code: int) -> None:
        if not layers.is_on(layers.TRAPS):
            os._exit(exit_code)
        if not any(isinstance(each, ev.StopRun) for each in self._events):  # the first reason stays
            self._events.appendleft(ev.StopRun(reason, exit_code))

    def _settle(self) -> None:
        """Act on what has happened, for so long that who asks for the end is still heard."""
        until = self._loop.now() + DEAFNESS
        while self._events and self._loop.now() < until:
            event = self._events.popleft()
            if isinstance(event, ev.ReadyFailed):
                self._last_words[event.name] = tuple(self._screen.last_lines(event.name))
            if isinstance(event, ev.MainExited):
                name = event.name
                event = self._gate.with_holder(
                    event, self._roster.service(name), self._roster.ports(name), self._trees.instances.get(name)
                )
            self._was_asked = self._was_asked or isinstance(event, ev.StopRun)
            self._state, effects = step(self._state, event)
            if self._state.is_stopping and self._stopping_since is None:
                self._begin_to_stop(said=[each.text for each in effects if isinstance(each, ev.Announce)])
            self._apply(effects)
        self._control.review()
        if self._has_new_groups:
            self._record_groups()

    def _record_groups(self) -> None:
        """Record who leads the sessions; later, where another holds the lock just now."""
        self._has_new_groups = False
        if not self._book.record_groups(self._trees.anchors):
            self._loop.call_later(PULSE, self._record_groups)

    def _begin_to_stop(self, *, said: Sequence[str]) -> None:
        """Start the shared grace; tell the keeper, and wake it where Ctrl-Z stopped it.  `said` is announced anyway."""
        self._stopping_since = self._loop.now()
        ending = self._state.ending
        if self._plan.detached and ending is not None and ending.message not in said:
            self._screen.notice(ending.message)  # nobody looks on: `devrun logs` says why
        if self._was_asked:
            self._screen.stop_waiting()
        self._book.stopping()
        self._tell_keeper(STOPPING, signal.SIGCONT)
        if self._roster.grace > self._plan.grace:
            self._ask_for_time(self._stopping_since + self._roster.grace)

    def _ask_for_time(self, until: float) -> None:
        """Have the keeper's clock begin anew until then: it knows the services of the start, not who joined since."""
        if self._loop.now() < until:
            self._tell_keeper(STOPPING)
            self._loop.call_later(STOP_MARGIN / 2, lambda: self._ask_for_time(until))

    def _tell_keeper(self, *signals: int) -> None:
        """Signal the keeper, unless it is the init of a container: nobody signals pid 1, and it has no Ctrl-Z."""
        for signum in signals if self._keeper.pid > 1 else ():
            send_to(self._keeper, signum)

    def _apply(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            _HANDLERS[type(effect)](self, effect)

    def _start(self, effect: ev.Start) -> None:
        self._roster.follow_worktree()
        service = self._roster.service(effect.name)
        refusal = self._gate.refusal(service, self._roster.ports(effect.name)) if effect.guard else None
        if refusal is not None:
            self._events.append(refusal)
        else:
            self._trees.start(service, self._roster.environment(effect.name))
            self._has_new_groups = True

    def _stop_tree(self, effect: ev.StopTree) -> None:
        self._trees.stop(effect.name, deadline=self._deadline(self._roster.service(effect.name)))

    def _deadline(self, service: Service) -> float:
        """Return when a service is killed: one grace for all, counted from the start of the stop.

        Who had to wait for a dependent that used the grace up still gets a moment of its own.
        """
        now = self._loop.now()
        if self._stopping_since is None:
            return now + service.stop.timeout
        shared = self._stopping_since + service.stop.timeout
        return max(shared, min(now + LAST_GRACE, self._stopping_since + self._roster.grace + 2 * LAST_GRACE))

    def _await_ready(self, effect: ev.AwaitReady) -> None:
        self._asking.begin(effect.name)

    def _cancel_ready(self, effect: ev.CancelReady) -> None:
        self._asking.cancel(effect.name)

    def _schedule_restart(self, effect: ev.ScheduleRestart) -> None:
        due = ev.RestartDue(effect.name)
        self._restarts[effect.name] = self._loop.call_later(effect.delay, lambda: self._events.append(due))

    def _cancel_restart(self, effect: ev.CancelRestart) -> None:
        self._restarts.pop(effect.name).cancel()

    def _announce(self, effect: ev.Announce) -> None:
        self._screen.notice(effect.text)

    def _finish(self, effect: ev.Finish) -> None:
        """Every service is down: clear what is left of the run, then it is over."""
        began = self._stopping_since or self._loop.now()

        def cleared() -> None:
            self._book.end(effect.exit_code)
            result = conclude(effect, self._trees.stopped, self._loop.now() - began, survivors=self._trees.survivors)
            is_error = result.is_error and not (self._was_asked and result.exit_code > BY_SIGNAL)
            self._result = replace(result, is_error=is_error, last_lines=self._last_lines())

        self._tell_keeper(STOPPING)
        self._trees.clear(deadline=self._loop.now() + LAST_GRACE, on_done=cleared)

    def _last_lines(self) -> tuple[str, ...]:
        """Return the last output of the service that ended the run, where nobody has seen it yet."""
        name = next(iter(self._state.failures), None)
        if name is None or not (self._plan.detached or name in self._last_words):
            return ()
        return self._last_words.get(name) or tuple(self._screen.last_lines(name))


# ruff: noqa: SLF001 - the table of this class's own methods
_HANDLERS: dict[type, Callable[[Supervisor, Any], None]] = {
    ev.Start: Supervisor._start,
    ev.StopTree: Supervisor._stop_tree,
    ev.AwaitReady: Supervisor._await_ready,
    ev.CancelReady: Supervisor._cancel_ready,
    ev.ScheduleRestart: Supervisor._schedule_restart,
    ev.CancelRestart: Supervisor._cancel_restart,
    ev.Announce: Supervisor._announce,
    ev.Finish: Supervisor._finish,
}
