"""From a slot to ports: pure arithmetic, no clock, no file, no network.

A port of a worktree is its base plus slot × stride.  A port that is moved this way (*shifted*) must
suit: not privileged, not above 65535, not refused by browsers, not in the range the kernel hands
out to outgoing connections.  Numbers that people wrote themselves (slot 0, `fixed: true`) are
*plain* and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from devrun.model import PortBase

LOWEST, HIGHEST = 1024, 65535

# The bad ports of the fetch standard (https://fetch.spec.whatwg.org/#port-blocking), above 1023.
REFUSED_BY_BROWSERS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)

# Databases, brokers and consoles that developers run beside their services: taken last, because
# such a server is often down at the first claim and comes back.
COMMON_SERVERS = frozenset(
    {1433, 1521, 2181, 2375, 3306, 4222, 5432, 5433, 5601, 5672, 5984, 6379, 6380, 7474, 7687, 8025, 8086, 8123}
    | {8500, 9000, 9042, 9090, 9092, 9200, 9229, 9300, 9418, 11211, 11434, 15672, 19000, 26257, 27017}
)

NEAR_SLOTS = 300
"""Slots that are preferred.  Fewer, and two worktrees more often want the same one, so that a slot
depends on who came first; more, and the numbers wander far from the ones people know."""

_SLOTS_WITHOUT_PORTS = 9999
"""The highest slot of a project that has no ports: its slot still names databases and queues."""


class PortRules(Struct, frozen=True):
    """What this machine adds: first and last port of the kernel's ephemeral range."""

    ephemeral: tuple[int, int] = (32768, 60999)


def offset_of(slot: int, stride: int) -> int:
    """Return the offset of a slot."""
    return slot * stride


def shifted_ports(bases: Iterable[PortBase], offset: int) -> frozenset[int]:
    """Return the ports that the offset moved: they must suit, and be nobody else's."""
    return frozenset(base.port + offset for base in bases if offset and not base.fixed)


def plain_ports(bases: Iterable[PortBase], offset: int) -> frozenset[int]:
    """Return the ports that are as people wrote them."""
    return frozenset(base.port for base in bases if base.fixed or not offset)


def highest_slot(bases: Iterable[PortBase], stride: int, rules: PortRules) -> int:
    """Return the highest slot: below the ephemeral range, or where that leaves none, up to 65535."""
    movable = [base.port for base in bases if not base.fixed]
    if not movable:
        return _SLOTS_WITHOUT_PORTS
    below = (rules.ephemeral[0] - 1 - max(movable)) // stride
    return below if below >= 1 else max(0, (HIGHEST - max(movable)) // stride)


def objection(bases: Sequence[PortBase], slot: int, stride: int, rules: PortRules) -> str | None:
    """Return why a slot's set of ports cannot be, in words for people; None when it can.

    Slot 0 has no shifted ports, so nothing can be said against it here.
    """
    offset = offset_of(slot, stride)
    plain = {base.port for base in bases}  # the main checkout has these, now or later
    first, last = rules.ephemeral
    for port in sorted(shifted_ports(bases, offset)):
        if port > HIGHEST:
            return f"port {port} is above {HIGHEST}"
        if port < LOWEST:
            return f"port {port} is privileged (below {LOWEST})"
        if port in REFUSED_BY_BROWSERS:
            return f"port {port} is refused by browsers"
        if first <= port <= last:
            return f"port {port} is in the kernel's range for outgoing connections ({first}–{last})"
        if port in plain:
            return f"port {port} is a plain number of this project"
    return None


def preferred_slot(identity: str, highest: int) -> int:
    """Return the slot a worktree asks for first: always the same, whatever services it has."""
    from hashlib import sha256  # OpenSSL takes 2 ms to load; a known lease does not ask

    digest = sha256(identity.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % min(NEAR_SLOTS, highest) + 1


def candidate_slots(identity: str, bases: Sequence[PortBase], stride: int, rules: PortRules) -> Iterator[int]:
    """Yield every slot from 1 that suits, the preferred one first, then upwards and round.

    Slots on the ports of common servers come last.  Where the ephemeral range leaves no slot at all
    (a machine that gives out everything from 1024), the range is not held against anybody.
    """
    rules = _bearable(bases, stride, rules)
    highest = highest_slot(bases, stride, rules)
    if highest < 1:
        return
    start = preferred_slot(identity, highest) - 1
    last: list[int] = []
    for step in range(highest):
        slot = (start + step) % highest + 1
        if objection(bases, slot, stride, rules) is not None:
            continue
        if shifted_ports(bases, offset_of(slot, stride)) & COMMON_SERVERS:
            last.append(slot)
        else:
            yield slot
    yield from last


def _bearable(bases: Sequence[PortBase], stride: int, rules: PortRules) -> PortRules:
    highest = highest_slot(bases, stride, rules)
    if any(objection(bases, slot, stride, rules) is None for slot in range(1, highest + 1)):
        return rules
    return PortRules(ephemeral=(HIGHEST + 1, HIGHEST + 1))
