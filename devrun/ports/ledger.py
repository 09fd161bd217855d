"""Who has which ports: one lease a worktree, one machine-wide lock round read, choose and write.

Invariants, at every instant and whatever is killed:

- a *shifted* port (moved by an offset) is on exactly one lease; it is nobody's plain port either;
- *plain* ports (slot 0, `fixed: true`) may be on several leases, the numbers are people's own: who
  starts first has them (`starting.hold_for_start`, and the guard);
- a slot is used once in a repository: it names databases, too;
- a lease does not move while a run of its worktree lives, or cannot be proved dead;
- a lease does not move because somebody sits on its ports; ports are probed only when a slot is
  chosen;
- a run that took the plain ports (`take`) leaves the lease alone: it is what the worktree has again
  when the run has ended.

A lease that stopped fitting (a service was added, a main checkout arrived late) is chosen again and
the reason is said, or it is refused with the names of both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from devrun.config.project import Project
from devrun.errors import PortConflictError, UsageError
from devrun.model import PortSet, Worktree
from devrun.ports.arithmetic import (
    HIGHEST,
    PortRules,
    candidate_slots,
    objection,
    offset_of,
    plain_ports,
    shifted_ports,
)
from devrun.ports.wishes import wanted_slot, wish_of
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.locks import FileLock
from devrun.system.port_range import ephemeral_range
from devrun.worktrees.locate import is_bare

Say = Callable[[str], None]


def claim(  # noqa: PLR0913 - who claims, for what, and how
    state: State,
    worktree: Worktree,
    project: Project,
    *,
    slot: int | None = None,
    say: Say | None = None,
    dry_run: bool = False,
    replaced: str | None = None,
) -> PortSet:
    """Return the ports of a worktree, leasing them when they are not leased yet.

    `slot` is the pin of `--slot`.  `say` is told why a lease moved.  A `dry_run` answers the same and
    writes nothing; `replaced` is the id of a live run of the worktree that will have ended by the time
    of the act.  Raises PortConflictError when nothing fits or a live run is in the way, UsageError for
    a nonsense pin.
    """
    pin = wanted_slot(slot, project)
    lease = state.leases.get(worktree.identity)
    if slot is None and lease is not None and pin not in {None, lease.slot} and _has_run(state, lease, replaced):
        pin = None  # started with `--slot`, or before the pin was written: the run stays where it is
    wish = wish_of(worktree, project, pin)
    if lease is None or not _is_current(state, lease, wish, pin, replaced):
        if dry_run:
            return in_use(state, _Claim(state, _silent, replaced).decide(wish, pin)[0])
        with state.writing():
            lease = _Claim(state, say or _silent).settle(wish, pin)
    return in_use(state, lease)


def known(state: State, identity: str) -> PortSet | None:
    """Return the ports of a worktree that has a lease, or None; nothing is tested or written."""
    lease = state.leases.get(identity)
    return None if lease is None else in_use(state, lease)


def in_use(state: State, lease: Lease) -> PortSet:
    """Return the ports a worktree has now: those of its lease, or the plain ones while a run of it took them."""
    taken = lease.slot != 0 and any(run.taken for run in state.runs.alive(lease.identity))
    return lease.taken if taken else lease.ports


def release(state: State, leases: Iterable[Lease], *, locked: bool = False) -> tuple[Lease, ...]:
    """Give back leases whose worktrees are proved gone; return those that were given back.

    The proof is the caller's.  Kept all the same: a lease that changed since it was read, and one
    whose worktree has a run that is not proved dead or is being started.  `locked` says that the
    caller holds the worktree's lock itself.
    """
    released: list[Lease] = []
    for lease in leases:
        path = state.worktree_lock_path(lease.identity)
        lock = None if locked else FileLock.take(path)
        if lock is None and not locked:
            continue
        try:
            with state.writing():
                if not state.runs.alive(lease.identity) and state.leases.remove(lease):
                    released.append(lease)
            if lock is not None:
                os.unlink(path)
        finally:
            if lock is not None:
                lock.close()
    return tuple(released)


class _Claim:
    """One claim inside the lock: what is tested, what moves, what is written."""

    def __init__(self, state: State, say: Say, replaced: str | None = None) -> None:
        self._state = state
        self._replaced = replaced
        self._leases = state.leases
        self._say = say
        self._rules = PortRules(ephemeral=ephemeral_range())

    def settle(self, wish: Lease, pin: int | None) -> Lease:
        """Find the slot of a wish, move whom it displaces, write it."""
        lease, running, displaced = self.decide(wish, pin)
        self._write(lease, running)
        for other in displaced:
            self._move(other, f"`{lease.root}` has the plain port {_shared(lease, other)}")
        self._forget_predecessor(lease)
        return lease

    def decide(self, wish: Lease, pin: int | None) -> tuple[Lease, Lease | None, list[Lease]]:
        """Return the lease of a wish, the one that a live run still has, and those that have to move."""
        old = self._leases.get(wish.identity)
        live = old is not None and _has_run(self._state, old, self._replaced)
        slot = self._slot(wish, old, pin, live=live)
        lease = msgspec.structs.replace(wish, slot=slot, pinned=pin is not None)
        return lease, old if live else None, self._displaced(lease)

    def _slot(self, wish: Lease, old: Lease | None, pin: int | None, *, live: bool) -> int:
        if pin is not None:
            return self._pinned(wish, old, pin, live=live)
        if wish.is_main and not (live and old is not None and old.slot):
            return 0
        if old is None:
            return self._choose(wish)
        stuck = self._conflict(wish, old.slot)
        if stuck is None:
            return old.slot
        if live:
            raise PortConflictError(
                f"slot {old.slot} of `{wish.root}` does not fit any more: {stuck}; its run is live",
                hint="`devrun down`, then `devrun up`",
            )
        slot = self._choose(wish)
        self._say(f"`{wish.root}` moves from slot {old.slot} to slot {slot}: {stuck}")
        return slot

    def _pinned(self, wish: Lease, old: Lease | None, pin: int, *, live: bool) -> int:
        movable = [base.port for base in wish.bases if not base.fixed]
        highest = (HIGHEST - max(movable, default=0)) // wish.stride
        if pin > highest:
            top = max(movable, default=0)
            raise UsageError(
                f"slot {pin} puts port {top + pin * wish.stride} above {HIGHEST}", hint=f"slots go up to {highest}"
            )
        if live and old is not None and old.slot != pin:
            raise PortConflictError(
                f"`{wish.root}` runs on slot {old.slot}, it cannot move to slot {pin} now", hint="`devrun down` first"
            )
        stuck = self._conflict(wish, pin)
        if stuck is not None:
            raise PortConflictError(
                f"slot {pin} cannot be pinned for `{wish.root}`: {stuck}",
                hint="`devrun ports --all` shows who has which",
            )
        return pin

    def _conflict(self, wish: Lease, slot: int) -> str | None:
        """Return why a wish cannot have `slot`, in words for people; None when it can."""
        offset = offset_of(slot, wish.stride)
        if slot == 0:
            return "slot 0 is the main checkout's" if _has_main_checkout(wish) else self._other_slot(wish, slot)
        found = objection(wish.bases, slot, wish.stride, self._rules)
        if found is not None:
            return found
        shifted = shifted_ports(wish.bases, offset)
        for other in self._leases.holders(sorted(shifted), besides=wish.identity):
            ports = shifted & self._leases.ports_of(other.identity).keys()
            return f"port {min(ports)} belongs to `{other.root}` (slot {other.slot})"
        return self._other_slot(wish, slot)

    def _other_slot(self, wish: Lease, slot: int) -> str | None:
        if wish.repository is not None and slot in self._leases.slots_of(wish.repository, besides=wish.identity):
            return "another worktree of the repository has it"
        return None

    def _choose(self, wish: Lease) -> int:
        """Choose a free slot; the ports are probed here, and only here."""
        from devrun.system.sockets import can_bind

        taken = self._leases.taken_ports(besides=wish.identity)
        slots = set() if wish.repository is None else self._leases.slots_of(wish.repository, besides=wish.identity)
        for slot in candidate_slots(wish.identity, wish.bases, wish.stride, self._rules):
            shifted = shifted_ports(wish.bases, offset_of(slot, wish.stride))
            if slot not in slots and taken.isdisjoint(shifted) and all(map(can_bind, shifted)):
                return slot
        raise PortConflictError(
            f"no slot is left for `{wish.root}`: every set of its ports is leased or in use",
            hint="`devrun sweep` gives back the leases of worktrees that are gone",
        )

    def _displaced(self, lease: Lease) -> list[Lease]:
        """Return the leases whose shifted ports are this one's plain ports; refuse if they cannot move."""
        plain = plain_ports(lease.bases, offset_of(lease.slot, lease.stride))
        others = self._leases.holders(sorted(plain), besides=lease.identity, shifted=True)
        for other in others:
            reason = "is pinned there" if other.pinned else "has a live run"
            if other.pinned or self._state.runs.alive(other.identity):
                raise PortConflictError(
                    f"port {_shared(lease, other)} of `{lease.root}` belongs to `{other.root}`"
                    f" (slot {other.slot}), which {reason}",
                    hint="`devrun down` there, then try again; or `devrun up --slot 1` here",
                )
        return others

    def _move(self, other: Lease, reason: str) -> None:
        slot = self._choose(other)
        self._say(f"`{other.root}` moves from slot {other.slot} to slot {slot}: {reason}")
        self._write(msgspec.structs.replace(other, slot=slot), None)

    def _write(self, lease: Lease, running: Lease | None) -> None:
        """Write a lease; the ports of a live run stay reserved beside those of a changed configuration."""
        offset = offset_of(lease.slot, lease.stride)
        ports = dict.fromkeys(plain_ports(lease.bases, offset), False)
        ports |= dict.fromkeys(shifted_ports(lease.bases, offset), True)
        kept = {} if running is None else self._leases.ports_of(running.identity)
        self._leases.put(lease, {**kept, **ports}, surplus=not kept.keys() <= ports.keys())

    def _forget_predecessor(self, lease: Lease) -> None:
        """Drop the lease of this folder from before it was a repository."""
        before = None if lease.root == lease.identity else self._leases.get(lease.root)
        if before is not None and not self._state.runs.alive(before.identity):
            self._leases.remove(before)


def _has_run(state: State, lease: Lease, replaced: str | None) -> bool:
    """Whether a run of the worktree, but for the one that will have ended, is not proved dead."""
    return any(run.id != replaced for run in state.runs.alive(lease.identity))


def _is_current(state: State, lease: Lease, wish: Lease, pin: int | None, replaced: str | None) -> bool:
    """Whether a lease is what a claim would write: the everyday case, which takes no lock."""
    if lease.bases != wish.bases or lease.stride != wish.stride:
        return False
    if lease.root != wish.root or lease.file_id != wish.file_id:
        return False
    if pin is not None:
        return lease.slot == pin and lease.pinned and not lease.surplus
    if lease.pinned or lease.surplus or (wish.is_main and lease.slot):
        return _has_run(state, lease, replaced)  # a live run keeps its pin and its ports
    return True


def _has_main_checkout(wish: Lease) -> bool:
    """Whether plain numbers belong to another worktree: the main checkout, which a bare repository lacks."""
    return not wish.is_main and (wish.repository is None or not is_bare(wish.repository))


def _shared(lease: Lease, other: Lease) -> int:
    plain = plain_ports(lease.bases, offset_of(lease.slot, lease.stride))
    return min(plain & shifted_ports(other.bases, offset_of(other.slot, other.stride)), default=min(plain))


def _silent(_: str) -> None:
    """Say nothing."""
