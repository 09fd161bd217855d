"""Facts about suspects: who of a configured kind has no live owner above it.  They are only ever reported."""

from __future__ import annotations

from collections.abc import Sequence

from devrun.config.project import Suspect
from devrun.decide.suspects import has_no_owner, is_of_kind
from devrun.model import ProcessIdentity
from devrun.system.columns import Column
from devrun.worktrees.survey import Survey


def find_suspects(survey: Survey, suspects: Sequence[Suspect]) -> dict[ProcessIdentity, str]:
    """Return the suspects without an owner, by the name of their kind."""
    if not suspects:
        return {}
    found: dict[ProcessIdentity, str] = {}
    for suspect in suspects:
        alike = [
            record.pid
            for pid in survey.mentioning([suspect.match])
            if (record := survey.snapshot.get(pid)) is not None and is_of_kind(suspect, record)
        ]
        survey.fill((above.pid for pid in alike for above in survey.snapshot.lineage(pid)), Column.ARGV)
        for pid in alike:
            record = survey.snapshot.get(pid)
            if record is not None and has_no_owner(suspect, record, survey.snapshot):
                found.setdefault(record.identity, suspect.name)
    return found
