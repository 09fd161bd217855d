"""Who may start services on plain ports: the last look at other runs before the guard looks at listeners.

Two main checkouts want the same numbers, and a `fixed` service has one holder on the machine.  The
guard looks at listeners; this looks at runs, so that the refusal can name the worktree and the way
out before anything is started.
"""

from __future__ import annotations

from collections.abc import Collection

from devrun.errors import PortConflictError
from devrun.model import Liveness, PortSet, Worktree
from devrun.ports.arithmetic import plain_ports
from devrun.state import State
from devrun.system.locks import probe


def hold_for_start(state: State, worktree: Worktree, ports: PortSet, services: Collection[str]) -> None:
    """Take the plain ports of `services`, which are about to be started, for this worktree.

    Two main checkouts want the same numbers, and a `fixed` service has one holder on the machine:
    raises PortConflictError, naming the other, while a run there lives or is just being started.
    The caller holds its worktree's lock until its run is published.
    """
    lease = state.leases.get(worktree.identity)
    if lease is None:
        return
    plain = plain_ports(lease.bases, ports.offset)
    wanted = {base.port: base for base in lease.bases if base.port in plain and base.service in services}
    if not wanted:
        return
    with state.writing():
        holds = state.leases.holds()
        for port, base in wanted.items():
            hold = holds.get(port)
            if hold is not None and hold.identity != worktree.identity and _is_used(state, hold.identity, hold.service):
                other = state.leases.get(hold.identity)
                raise PortConflictError(
                    f"port {port} (`{base.service}`) belongs to `{hold.service}`, which runs in"
                    f" `{other.root if other else hold.identity}`",
                    hint="`devrun down` there; a fixed port has one holder on this machine"
                    if base.fixed
                    else "`devrun up --slot 1`, or for good: `ports: {slot: 1}` in services.local.yaml",
                )
        state.leases.hold(worktree.identity, {port: base.service for port, base in wanted.items()})


def _is_used(state: State, identity: str, service: str) -> bool:
    """Whether `service` of another worktree runs, or may be about to."""
    if probe(state.worktree_lock_path(identity)) is Liveness.LIVE:
        return True
    return any(not run.groups or service in run.groups for run in state.runs.alive(identity))
