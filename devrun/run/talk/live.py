"""The live run of a worktree, for commands that talk to it, wait for it or end it.

What it takes to talk is imported by whoever talks: every `up` looks here for a live run, and few find one.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from devrun.errors import DevrunError, IncompleteError
from devrun.model import Liveness, RunRecord, Worktree
from devrun.state import State
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system.control import send_to
from devrun.system.locks import probe

if TYPE_CHECKING:
    from devrun.run.talk.protocol import Answer

_POLL = 0.05
_HEARD_PATIENCE = 5.0
"""Seconds for a run to say that it hears at all.  Shorter signals one that is only busy, which ends it
as well; longer makes people wait for one that somebody stopped."""
_DOWN_PATIENCE = 30.0
"""Seconds beyond the grace of its services for a run to end.  Shorter cuts one that hands its last output to a
slow reader, or that never said how long it needs; longer leaves a hanging run to the person for no reason: the
keeper steps in after its own time."""
_KILL_PATIENCE = 5.0


def require_run(state: State, worktree: Worktree) -> RunRecord:
    """Return the live run of the worktree; raise DevrunError with a hint when there is none."""
    run = find_run(state, worktree)
    if run is None:
        raise DevrunError(f"nothing is running in `{worktree.root}`", hint="`devrun up` or `devrun up -d`")
    return run


def find_run(state: State, worktree: Worktree) -> RunRecord | None:
    """Return the newest run of the worktree that is not proved dead, None when there is none."""
    return state.runs.live(worktree.identity)


def is_ending(state: State, run: RunRecord) -> bool:
    """Tell whether a run is ending: it says so, or one of its two processes is gone and the other clears up."""
    folder = state.runs.folder(run.id)
    locks = (f"{folder}/{name}" for name in (KEEPER_LOCK, SUPERVISOR_LOCK))
    return run.stopping_at is not None or any(probe(lock) is Liveness.DEAD for lock in locks)


def end_run(state: State, run: RunRecord, *, by: str = "down") -> Answer | None:
    """End a run and wait until it is over; return what it said of its services, None when it said nothing.

    The run names the command that did it, `by`.

    Asks over the control socket; a run that does not answer, or is of another version, gets SIGTERM
    at its keeper, by identity.  What does not end then is killed: its keeper, or the next sweep,
    clears up.  Raises IncompleteError when even that does not help.
    """
    from devrun.run.talk import protocol
    from devrun.run.talk.client import ask
    from devrun.run.talk.protocol import Ask

    answer, patience = None, _DOWN_PATIENCE
    try:
        patience += ask(run, Ask(protocol.STATUS), timeout=_HEARD_PATIENCE).grace
        answer = ask(run, Ask(protocol.DOWN, by=by), timeout=patience)
    except DevrunError:  # unreachable, of another version, or no answer in time
        _signal(run, signal.SIGTERM)
    if wait_until_over(state, run, patience if answer is None else _DOWN_PATIENCE):
        return answer
    if run.supervisor is not None:  # it hangs: the keeper notices, and clears up
        send_to(run.supervisor, signal.SIGKILL)
    _signal(run, signal.SIGCONT)  # which it cannot where somebody has stopped it since
    if wait_until_over(state, run, _DOWN_PATIENCE):
        return answer
    if run.keeper is not None and run.keeper.pid > 1:
        send_to(run.keeper, signal.SIGKILL)
    if not wait_until_over(state, run, _KILL_PATIENCE):
        raise IncompleteError(f"the run in `{run.worktree}` does not end", hint="`devrun doctor`")
    return answer


def wait_until_over(state: State, run: RunRecord, seconds: float) -> bool:
    """Wait for a run's locks to be free; return whether they are."""
    until = time.monotonic() + seconds
    while state.runs.liveness(run) is not Liveness.DEAD:
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL)
    return True


def _signal(run: RunRecord, signum: int) -> None:
    """Ask the keeper (woken, where Ctrl-Z stopped it), or the supervisor when the keeper is gone, or a container's init."""
    for identity in (run.keeper, run.supervisor):
        if identity is not None and identity.pid > 1 and send_to(identity, signum):
            send_to(identity, signal.SIGCONT)
            return
