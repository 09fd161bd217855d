"""The table "is the worktree of a process gone?", row by row."""

from __future__ import annotations

import msgspec
import pytest

from devrun.decide.fate import TABLE, Fate, judge
from devrun.model import Folder
from tests.support.decisions import GONE_PLACE, LIVE_SIBLING, NOWHERE

change = msgspec.structs.replace
TRASH = change(GONE_PLACE, folder=Folder.PRESENT, known=False, in_trash=True, has_checkout=True)
ROWS = [
    ("outside", NOWHERE, Fate.NOWHERE),
    ("alive", LIVE_SIBLING, Fate.LIVE),
    ("trash", TRASH, Fate.ORPHAN),
    ("left-over folder", change(GONE_PLACE, folder=Folder.PRESENT), Fate.ORPHAN_IF_STAMPED),
    ("removed", GONE_PLACE, Fate.ORPHAN),
    ("none of these", change(GONE_PLACE, has_checkout=None), Fate.UNDECIDED),
    ("deleted sub-folder of one that git does not list", change(GONE_PLACE, has_checkout=True), Fate.REPORT),
    ("removed with its trash", change(TRASH, folder=Folder.DELETED), Fate.ORPHAN),
    ("re-created", change(LIVE_SIBLING, folder=Folder.DELETED, predecessor=True), Fate.ORPHAN),
    ("deleted sub-folder", change(LIVE_SIBLING, folder=Folder.DELETED, predecessor=False), Fate.REPORT),
    ("deleted sub-folder", change(LIVE_SIBLING, folder=Folder.DELETED, predecessor=None), Fate.REPORT),
    ("folder unknown", change(GONE_PLACE, folder=None), Fate.UNKNOWN),
    ("folder unknown", change(LIVE_SIBLING, folder=None), Fate.UNKNOWN),
    ("git silent", change(GONE_PLACE, live=None), Fate.UNKNOWN),
    ("git silent", change(LIVE_SIBLING, live=None), Fate.UNKNOWN),
    ("git silent", change(GONE_PLACE, live=None, repository_gone=False), Fate.UNKNOWN),
    ("git silent", change(GONE_PLACE, live=None, repository_gone=True, folder=Folder.PRESENT), Fate.UNKNOWN),
    ("git silent", change(GONE_PLACE, live=None, repository_gone=True, known=False), Fate.UNKNOWN),
    ("repository gone", change(GONE_PLACE, live=None, repository_gone=True), Fate.ORPHAN),
    ("none of these", change(GONE_PLACE, known=False), Fate.UNDECIDED),
    ("none of these", change(TRASH, in_trash=None), Fate.UNDECIDED),
    ("none of these", change(GONE_PLACE, folder=Folder.PRESENT, has_checkout=None), Fate.UNDECIDED),
]


@pytest.mark.parametrize(("name", "place", "fate"), ROWS)
def test_each_row_decides_what_the_table_says(name, place, fate):
    row = judge(place)
    assert (row.name, row.fate) == (name, fate)


def test_facts_that_were_never_gathered_keep():
    assert judge(None).fate is Fate.UNKNOWN


def test_every_row_of_the_table_is_tested():
    assert {row.name for row in TABLE} == {name for name, _, _ in ROWS}
