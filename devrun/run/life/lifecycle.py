"""The life of a whole run as a pure state machine: (state, event) → (state, effects).

No clock, no process, no file: the supervisor observes, this module decides, the supervisor acts.

What holds for every sequence of events, unknown, late and doubled ones included:

- after `StopRun`, or whatever else ends the run, there is no `Start`, and a scheduled restart is cancelled;
- `Finish` is given once, last, and only when every tree is gone; then every phase is final;
- a service is stopped after those that depend on it.  Two exceptions wait for nobody: leftovers of
  a main process that ended by itself, and a service that was not spawned yet;
- between two starts of a service its tree was gone: leftovers are stopped before a restart.

How a service ends, and what it means (DESIGN.md section 8):

- exit 0 that somebody awaits as `completed` is expected, whatever its restart policy;
- `restart` starts it again after a back-off; a service that reaches its cap has failed.  Exit 0
  under `on-failure` is a proper end and the run goes on;
- `essential: false`: the run goes on; what waits for it never starts and says why;
- else the run stops with its code.  The first failure is named by `Finish`; later ones are not.
- not ready in time, foreign holder, refused by the guard: not retried.

Verbs on a live run.  `stop` also stops what depends on the services named: they would only fail.
`start` also starts what they need.  `restart` leaves the services that depend on it alone, as
compose does and as an automatic restart does; those that never started because of it now do.
What a verb started and what fails before it was ready fails alone: the run of others goes on, and
so it does after exit 0.  A run whose services were stopped by a verb goes on without them; a run whose
services all ended by themselves is over.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devrun.config.project import Condition, ReadyKind, RestartPolicy, Service
from devrun.run.life import events as ev
from devrun.run.life.events import Effect, Event, Phase
from devrun.run.life.servicestate import ServiceState, Then, is_over, restart_cap, restart_delay
from devrun.run.life.turn import Ending, RunState, Turn

__all__ = ["STABLE_AFTER", "Ending", "RunState", "begin", "step"]

# Lived this long (seconds): earlier restarts are forgotten.  Smaller: a server that crashes on its
# first request is restarted for ever.  Larger: a few crashes on one long day end the run.
STABLE_AFTER = 30.0


def begin(services: Sequence[Service]) -> tuple[RunState, tuple[Effect, ...]]:
    """Start a run of `services`; they need not be in any order."""
    turn = Turn(RunState(services={each.name: ServiceState(service=each) for each in services}))
    if not services:
        turn.end_run(0, "no service to run")
    return turn.settle()


def step(state: RunState, event: Event) -> tuple[RunState, tuple[Effect, ...]]:
    """Take one event; return the next state and what is to be done, in this order."""
    if state.is_finished:
        return state, ()
    turn = Turn(state)
    _HANDLERS[type(event)](turn, event)
    return turn.settle()


# Facts from the supervisor.


def _on_spawned(turn: Turn, event: ev.Spawned) -> None:
    each = turn.services.get(event.name)
    if each is None or not each.has_tree or each.was_started:
        return
    turn.change(event.name, was_started=True)
    if each.stop_sent:
        turn.effects.append(ev.StopTree(event.name))  # it was spawned while the stop was on its way
    elif each.service.ready.kind is ReadyKind.STARTED:
        turn.change(event.name, phase=Phase.READY, was_ready=True)
    else:
        turn.change(event.name, phase=Phase.RUNNING, is_awaited=True)
        turn.effects.append(ev.AwaitReady(event.name))


def _on_no_spawn(turn: Turn, event: ev.SpawnFailed | ev.GuardRefused) -> None:
    each = turn.services.get(event.name)
    if each is None or not each.has_tree or each.was_started:
        return
    if each.stop_wanted:
        turn.put_down(event.name)
        return
    turn.change(event.name, has_tree=False)
    turn.fail(event.name, event.code, _named(event.name, event.message))


def _on_became_ready(turn: Turn, event: ev.BecameReady) -> None:
    each = turn.services.get(event.name)
    if each is not None and each.is_awaited:
        turn.change(event.name, phase=Phase.READY, is_awaited=False, was_ready=True)


def _on_ready_failed(turn: Turn, event: ev.ReadyFailed) -> None:
    each = turn.services.get(event.name)
    if each is not None and each.is_awaited:
        turn.change(event.name, is_awaited=False)
        turn.fail(event.name, event.code, _named(event.name, event.message))


def _on_main_exited(turn: Turn, event: ev.MainExited) -> None:
    each = turn.services.get(event.name)
    if each is None or not each.has_tree or each.main_gone:
        return
    turn.cancel_waits(event.name)
    code = event.code if event.code >= 0 else 128 - event.code
    each = turn.change(event.name, main_gone=True, code=code)
    if each.stop_wanted:
        return
    if event.uptime >= STABLE_AFTER:
        each = turn.change(event.name, streak=0)
    if event.holder is not None:
        turn.fail(event.name, 3, f"{_exit_text(event.name, code)}: its port is held by {event.holder}")
    else:
        _decide_end(turn, each, code)


def _decide_end(turn: Turn, each: ServiceState, code: int) -> None:
    """Judge a main process that ended by itself: expected, to be restarted, or a loss."""
    name, policy = each.service.name, each.service.restart.policy
    text = _exit_text(name, code)
    is_task = each.service.completes or any(other.needs(name, Condition.COMPLETED) for other in turn.services.values())
    if code == 0 and is_task:
        turn.want_stop(name, Then.REST, Phase.EXITED)
        turn.announce(name, f"`{name}` completed")
    elif policy is RestartPolicy.ALWAYS or (policy is RestartPolicy.ON_FAILURE and code != 0):
        _restart(turn, each, code, text)
    elif code == 0 and (policy is RestartPolicy.ON_FAILURE or each.by_verb):
        turn.want_stop(name, Then.REST, Phase.EXITED)
        turn.announce(name, text)
    else:
        turn.fail(name, code, text)


def _restart(turn: Turn, each: ServiceState, code: int, text: str) -> None:
    name, cap = each.service.name, restart_cap(each.service)
    if each.streak < cap:
        delay = restart_delay(each.service, each.streak)
        turn.want_stop(name, Then.RESTART)
        turn.change(name, delay=delay)
        turn.announce(name, f"{text}: restart {each.streak + 1} of {cap} in {delay:g} s")
    elif cap == 0:
        turn.fail(name, code, text)
    else:
        times = "once" if cap == 1 else f"{cap} times"
        turn.fail(name, code or 1, f"{text}: restarted {times}, giving up")


def _on_tree_gone(turn: Turn, event: ev.TreeGone) -> None:
    each = turn.services.get(event.name)
    if each is None or not each.has_tree:
        return
    if not each.stop_wanted:
        # Everybody was killed from outside and no status came: say what SIGKILL would have said.
        _on_main_exited(turn, ev.MainExited(event.name, -signal.SIGKILL))
    turn.put_down(event.name)


def _on_restart_due(turn: Turn, event: ev.RestartDue) -> None:
    each = turn.services.get(event.name)
    if each is not None and each.restart_due:
        turn.change(event.name, restart_due=False)


# Wishes of people.


def _on_stop_run(turn: Turn, event: ev.StopRun) -> None:
    turn.end_run(event.exit_code, event.reason)


def _on_stop_services(turn: Turn, event: ev.StopServices) -> None:
    for name in event.names:
        each = turn.services.get(name)
        if turn.ending is not None or each is None or is_over(each):
            continue
        for dependent in turn.dependents(name):
            if is_over(turn.services[dependent]) or not _is_lost_without(turn, dependent, name):
                continue
            before = turn.services[dependent]
            turn.put_to_rest(dependent)
            if dependent not in event.names and turn.services[dependent] != before:
                turn.announce(dependent, f"`{dependent}` is stopped too: it depends on `{name}`")
        turn.put_to_rest(name)


def _is_lost_without(turn: Turn, dependent: str, name: str) -> bool:
    """Return whether `dependent` has to stop with `name`: not when it runs and only needed it completed."""
    each = turn.services[dependent]
    conditions = {one.condition for one in each.service.depends_on if one.service == name}
    return not each.has_tree or conditions != {Condition.COMPLETED}


def _on_start_services(turn: Turn, event: ev.StartServices) -> None:
    if turn.ending is None:
        woken: set[str] = set()
        for name in event.names:
            turn.wake(name, woken)


def _on_restart_services(turn: Turn, event: ev.RestartServices) -> None:
    if turn.ending is None:
        for name in event.names:
            each = turn.services.get(name)
            if each is not None and each.has_tree and not each.stop_wanted:
                turn.want_stop(name, Then.START)
        _on_start_services(turn, ev.StartServices(event.names))


def _on_add_services(turn: Turn, event: ev.AddServices) -> None:
    if turn.ending is not None:
        return
    for service in event.services:
        each = turn.services.get(service.name)
        if each is None:
            turn.services[service.name] = ServiceState(service=service, by_verb=True)
        elif not each.has_tree:
            turn.change(service.name, service=service)
    _on_start_services(turn, ev.StartServices(tuple(each.name for each in event.services)))


_HANDLERS: Mapping[type, Callable[[Turn, Any], None]] = {
    ev.Spawned: _on_spawned,
    ev.SpawnFailed: _on_no_spawn,
    ev.GuardRefused: _on_no_spawn,
    ev.BecameReady: _on_became_ready,
    ev.ReadyFailed: _on_ready_failed,
    ev.MainExited: _on_main_exited,
    ev.TreeGone: _on_tree_gone,
    ev.RestartDue: _on_restart_due,
    ev.StopRun: _on_stop_run,
    ev.StopServices: _on_stop_services,
    ev.StartServices: _on_start_services,
    ev.RestartServices: _on_restart_services,
    ev.AddServices: _on_add_services,
}


def _exit_text(name: str, code: int) -> str:
    """Say how a service ended; a code above 128 with the signal it stands for."""
    try:
        meaning = f" ({signal.Signals(code - 128).name})" if code > 128 else ""  # noqa: PLR2004 - 128+n is signal n
    except ValueError:
        meaning = ""
    return f"`{name}` exited with code {code}{meaning}"


def _named(name: str, message: str) -> str:
    return message if f"`{name}`" in message else f"`{name}`: {message}"
