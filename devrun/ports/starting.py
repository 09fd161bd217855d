"""Who may start services on plain ports: the last look at other runs before the guard looks at listeners.

Two main checkouts want the same numbers, a `fixed` service has one holder on the machine, and a
linked worktree may take the numbers of its main checkout for a run.  The guard looks at listeners;
this looks at runs, so that the refusal can name the worktree and the way out before anything is
started.

Whoever starts holds its worktree's lock until its run is published, and notes the ports it is about
to use under the machine-wide lock: of two that start at once, the second sees the first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devrun.errors import PortConflictError, RefusedError, UsageError
from devrun.model import Liveness, PortBase, PortSet, RunRecord, Worktree
from devrun.ports.arithmetic import plain_ports
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.locks import probe


def plain_numbers(state: State, worktree: Worktree) -> PortSet:
    """Return the ports that `take` is about.  Raises UsageError where they are the worktree's own already."""
    lease = state.leases.get(worktree.identity)
    if lease is None or lease.slot == 0:
        raise UsageError(f"`{worktree.root}` has the plain ports already", hint="`devrun up`")
    return lease.taken


def hold_for_start(
    state: State, worktree: Worktree, ports: PortSet, services: Collection[str], *, taking: bool = False
) -> None:
    """Take the plain ports of `services`, which are about to be started, for this worktree.

    Raises PortConflictError, naming the other, while a run elsewhere uses one of them or is just
    being started.  With `taking` (the main checkout's) it is refused while any run of the main
    checkout lives; the main checkout is refused while a run of a linked worktree has taken them.
    The caller holds its worktree's lock until its run is published.
    """
    lease = state.leases.get(worktree.identity)
    if lease is None:
        return
    plain = plain_ports(lease.bases, ports.offset)
    wanted = {base.port: base for base in lease.bases if base.port in plain and base.service in services}
    if not wanted and not taking and ports.slot:
        return
    with state.writing():
        if taking:
            _refuse_beside_main(state, worktree)
            _refuse_leased(state, lease, wanted)
        if taking or ports.slot == 0:
            _refuse_taken(state, worktree)
        _refuse_held(state, worktree, wanted)
        noted = lease.bases if taking else wanted.values()
        state.leases.hold(worktree.identity, {base.port: base.service for base in noted})


def _refuse_held(state: State, worktree: Worktree, wanted: Mapping[int, PortBase]) -> None:
    holds = state.leases.holds()
    for port, base in wanted.items():
        hold = holds.get(port)
        if hold is None or hold.identity == worktree.identity or not _is_used(state, hold.identity, hold.service):
            continue
        other = state.leases.get(hold.identity)
        hint = "`devrun up --slot 1`, or for good: `ports: {slot: 1}` in services.local.yaml"
        if base.fixed:
            hint = "`devrun down` there; a fixed port has one holder on this machine"
        elif other is not None and not other.is_main:
            hint = "`devrun down` there gives them back"  # it has taken them
        where = other.root if other else hold.identity
        raise PortConflictError(
            f"port {port} (`{base.service}`) belongs to `{hold.service}`, which runs in `{where}`", hint=hint
        )


def _refuse_beside_main(state: State, worktree: Worktree) -> None:
    """Refuse to take ports that the main checkout uses, or is about to."""
    if worktree.repository is None:
        return
    run = state.runs.live(worktree.repository)
    if run is not None:
        raise RefusedError(
            f"the main checkout `{run.worktree}` runs on the plain ports{_pid(run)}", hint="`devrun down` there first"
        )
    if probe(state.worktree_lock_path(worktree.repository)) is Liveness.LIVE:
        raise RefusedError("a run of the main checkout is just being started", hint="`devrun ps --all`")


def _refuse_taken(state: State, worktree: Worktree) -> None:
    """Refuse to use plain ports that a linked worktree of this repository has taken."""
    for run in state.runs.candidates():
        if not run.taken or run.worktree_identity == worktree.identity or worktree.repository is None:
            continue
        lease = state.leases.get(run.worktree_identity)
        is_sibling = lease is not None and lease.repository == worktree.repository
        if is_sibling and state.runs.liveness(run) is not Liveness.DEAD:
            raise RefusedError(
                f"`{run.worktree}` has taken the plain ports{_pid(run)}",
                hint="`devrun down` there gives them back",
            )


def _refuse_leased(state: State, lease: Lease, wanted: Mapping[int, PortBase]) -> None:
    """Refuse ports that are a worktree's own: a main checkout that never started anything has not reserved its."""
    for other in state.leases.holders(sorted(wanted), besides=lease.identity, shifted=True):
        port = min(wanted.keys() & state.leases.ports_of(other.identity).keys())
        raise PortConflictError(
            f"port {port} (`{wanted[port].service}`) belongs to `{other.root}` (slot {other.slot})",
            hint="`devrun ports` in the main checkout reserves its plain ports",
        )


def _is_used(state: State, identity: str, service: str) -> bool:
    """Whether `service` of another worktree runs, or may be about to."""
    if probe(state.worktree_lock_path(identity)) is Liveness.LIVE:
        return True
    return any(run.taken or not run.groups or service in run.groups for run in state.runs.alive(identity))


def _pid(run: RunRecord) -> str:
    return "" if run.keeper is None else f" (pid {run.keeper.pid})"
