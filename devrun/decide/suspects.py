"""Suspects: processes of a configured kind that should have a live owner above them, and have none."""

from __future__ import annotations

from devrun.config.project import Suspect
from devrun.decide import commandline
from devrun.decide.programs import goes_by
from devrun.model import ProcessRecord, ProcessSnapshot

_INIT = 1


def is_of_kind(suspect: Suspect, record: ProcessRecord, /) -> bool:
    """Say whether `record` is what the suspect describes: by runtime and by command line."""
    if suspect.runtime is not None and not goes_by(record, frozenset({suspect.runtime})):
        return False
    return commandline.matches(suspect.match, record)


def has_no_owner(suspect: Suspect, record: ProcessRecord, snapshot: ProcessSnapshot, /) -> bool:
    """Say whether none of the nearest `hops` ancestors is an owner.

    Only a chain that was read counts: an ancestor without a parent, a name or a command line may be the owner.
    """
    chain = snapshot.lineage(record.pid)
    owners = frozenset(each.lower() for each in suspect.owner)
    for above in chain[1 : suspect.hops + 1]:
        if above.is_zombie:
            continue
        if above.name is None or (above.argv is None and above.pid != _INIT):
            return False
        if goes_by(above, owners):
            return False
    if len(chain) > suspect.hops:
        return True
    top = chain[-1]
    return top.pid == _INIT or top.ppid == 0
