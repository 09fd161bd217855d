"""Who needs which services for how long: `exec` holds what it uses, and what it started ends with the last holder.

A claim is a connection of the control socket, so it ends with its holder, even by SIGKILL.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection


class Claims:
    """The claims on one run.  A borrowed run was started for its holders only, and ends with the last of them."""

    def __init__(self, *, is_borrowed: bool) -> None:
        self.is_borrowed = is_borrowed
        self._claims: dict[object, frozenset[str]] = {}
        self._borrowed: set[str] = set()

    @property
    def is_deserted(self) -> bool:
        """Whether the run was only borrowed, and nobody holds it."""
        return self.is_borrowed and not self._claims

    def take(self, names: Collection[str], borrowed: Collection[str]) -> object:
        """Claim services; return the claim.  `borrowed` are those that were started for it."""
        claim = object()
        self._claims[claim] = frozenset(names)
        self._borrowed.update(borrowed)
        return claim

    def give_back(self, claim: object) -> tuple[str, ...]:
        """End a claim; return the borrowed services that nobody needs now."""
        self._claims.pop(claim, None)
        needed = frozenset[str]().union(*self._claims.values())
        idle = tuple(sorted(self._borrowed - needed))
        self._borrowed -= set(idle)
        return idle

    def keep(self, names: Collection[str]) -> None:
        """Have services stay, and the run with them, whoever leaves."""
        self._borrowed -= set(names)
        self.is_borrowed = False
