"""The rows for leftovers that are no dev server: daemons, what registries miss and list, suspects, losers."""

from __future__ import annotations

import msgspec
import pytest

from devrun.config.project import Suspect
from devrun.decide.classify import decide
from devrun.decide.spinning import idle_of_kind, spenders
from devrun.decide.suspects import has_no_owner
from devrun.model import Listener, ProcessSnapshot, Situation
from tests.support.decisions import (
    GONE_PLACE,
    INIT,
    LIVE_HERE,
    LIVE_SIBLING,
    NOWHERE,
    a_context,
    a_process,
    a_program,
    identity,
)

REAP = Situation.REAP


def rows(context):
    plan = decide(context)
    return {each.record.pid: (each.verdict.value, each.reason) for each in (*plan.steps, *plan.spared)}


def a_daemon(pid=200):
    return a_program("/usr/bin/git", "fsmonitor--daemon", "run", pid=pid)


@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        (GONE_PLACE, ("stop", "fsmonitor")),
        (LIVE_SIBLING, None),
        (msgspec.structs.replace(GONE_PLACE, live=None), None),
        (msgspec.structs.replace(GONE_PLACE, folder=None), None),
        (msgspec.structs.replace(GONE_PLACE, known=False, in_trash=False), None),
    ],
)
def test_a_daemon_is_stopped_only_where_its_worktree_is_proved_gone(place, verdict):
    context = a_context(a_daemon(), default_place=NOWHERE, sockets={identity(200): place})
    assert rows(context).get(200) == verdict


def test_a_daemon_of_a_live_worktree_stays_whatever_else_speaks_against_it():
    context = a_context(a_daemon(), default_place=GONE_PLACE, sockets={identity(200): LIVE_SIBLING})
    assert rows(context)[200] == ("spare", "fsmonitor-in-use")


def test_a_reap_takes_the_daemon_of_its_own_worktree_and_no_other():
    places = {identity(200): LIVE_HERE, identity(201): GONE_PLACE, identity(202): LIVE_SIBLING}
    daemons = [a_daemon(pid.pid) for pid in places]
    found = rows(a_context(*daemons, situation=REAP, default_place=NOWHERE, sockets=places))
    assert found == {200: ("stop", "fsmonitor")}


def test_who_is_listed_stays_and_what_an_orphan_started_goes_with_it():
    orphan, child = a_process(200, sid=200), a_program("/usr/bin/sleep", "9", pid=201, ppid=200, sid=200)
    adopted = a_program("/usr/bin/sleep", "9", pid=202, ppid=INIT, sid=200)
    below = a_process(203, ppid=202, sid=200)
    other = a_program("/usr/bin/sleep", "9", pid=204, sid=204)
    listed = a_process(205, ppid=200, sid=200)
    records = (orphan, child, adopted, below, other, listed)
    context = a_context(*records, default_place=NOWHERE, untracked={identity(200): "r"}, tracked={identity(205): "r"})
    found = rows(context)
    assert found[200] == ("stop", "untracked")
    assert [found[pid] for pid in (201, 202, 203)] == [("stop", "descendant")] * 3
    assert found[205] == ("spare", "tracked")
    assert 204 not in found


def test_the_session_of_an_orphan_that_stays_stays_and_so_does_a_session_it_does_not_lead():
    vim = a_program("/usr/bin/vim", "shellper-main.js", pid=200, sid=200)
    member = a_process(201, sid=200)
    assert 201 not in rows(a_context(vim, member, default_place=NOWHERE, untracked={identity(200): "r"}))
    orphan, sibling = a_process(300, sid=90), a_process(301, sid=90)
    assert 301 not in rows(a_context(orphan, sibling, default_place=NOWHERE, untracked={identity(300): "r"}))


MCP = Suspect("mcp", "server.js", ("claude",), hops=2)


def without_owner(*records):
    return has_no_owner(MCP, records[0], ProcessSnapshot(records, self_pid=1000, boot_id="b"))


def test_a_suspect_has_no_owner_only_where_the_whole_chain_was_read():
    init = a_program("/sbin/init", pid=INIT, ppid=0)
    suspect, shell = a_process(200, ppid=201), a_program("/bin/sh", "-c", "x", pid=201)
    claude = a_program("/usr/bin/claude", pid=202)
    assert without_owner(suspect, shell, init)
    assert not without_owner(suspect, msgspec.structs.replace(shell, ppid=202), claude, init)
    assert not without_owner(suspect, msgspec.structs.replace(shell, argv=None), init)
    assert not without_owner(suspect, msgspec.structs.replace(shell, ppid=None))
    assert not without_owner(suspect, msgspec.structs.replace(shell, ppid=999))
    assert not without_owner(msgspec.structs.replace(suspect, ppid=None))


def test_a_dead_owner_is_no_live_owner():
    init = a_program("/sbin/init", pid=INIT, ppid=0)
    suspect = a_process(200, ppid=202)
    claude = a_program("/usr/bin/claude", pid=202, state="Z")
    assert without_owner(suspect, claude, init)


def snapshot(*records, listeners=()):
    return ProcessSnapshot(records, self_pid=1, boot_id="b", listeners=listeners)


def test_nobody_spins_while_the_listeners_could_not_be_read():
    record = a_process()
    assert idle_of_kind({"web": "server.js"}, snapshot(record), 1000) == {record.identity: "web"}
    assert idle_of_kind({"web": "server.js"}, snapshot(record, listeners=None), 1000) == {}
    assert idle_of_kind({"web": "server.js"}, snapshot(record, listeners=[Listener(1, "::", 200)]), 1000) == {}
    assert idle_of_kind({"web": "server.js"}, snapshot(record), 0) == {}


@pytest.mark.parametrize(
    ("spent", "running", "busy"), [(0.2, 1, True), (0.05, 1, False), (0.05, 8, True), (0.0, 99, False)]
)
def test_busy_is_measured_by_the_share_of_a_core_that_there_is(spent, running, busy):
    others = [a_process(300 + number, state="R", cpu_seconds=0.0) for number in range(running - 1)]
    before = snapshot(a_process(cpu_seconds=1.0, state="R"), *others)
    after = snapshot(a_process(cpu_seconds=1.0 + spent, state="R"), *others)
    assert (identity(200) in spenders(before, after, 0.25, 2)) is busy


MOVED = {"default_place": NOWHERE, "origins": {identity(200): (GONE_PLACE,)}, "matches": frozenset({"server.js"})}


def test_who_moved_away_from_a_worktree_that_is_gone_is_stopped_by_its_match_where_nobody_is_above_it():
    shell = a_program("/bin/sh", "-c", "mint dev", pid=199)
    assert rows(a_context(shell, a_process(ppid=199), **MOVED))[200] == ("stop", "started-in-gone")


@pytest.mark.parametrize(
    "above",
    [
        a_program("/usr/bin/node", "/x/node_modules/@anthropic-ai/claude-code/cli.js", pid=199),
        a_program("/usr/bin/tmux", "new-session", pid=199),
        a_program("/bin/bash", pid=199),
        a_program("/usr/sbin/sshd", "-D", pid=199, uid=0, argv=None),
    ],
    ids=lambda each: each.exe,
)
def test_who_moved_away_is_reported_while_somebody_is_above_it(above):
    assert rows(a_context(above, a_process(ppid=199), **MOVED))[200] == ("report", "started-in-gone")


@pytest.mark.parametrize(
    "facts",
    [
        {"matches": frozenset()},
        {"matches": frozenset({"other.js"})},
        {"origins": {}},
        {"origins": {identity(200): (GONE_PLACE, LIVE_SIBLING)}},
        {"origins": {identity(200): (msgspec.structs.replace(GONE_PLACE, live=None),)}},
        {"default_place": LIVE_SIBLING},
        {"default_place": msgspec.structs.replace(LIVE_SIBLING, live=None)},
        {"default_place": None},
    ],
    ids=[
        "no match",
        "another match",
        "no origin",
        "origins differ",
        "unknown",
        "in a live one",
        "perhaps live",
        "unread",
    ],
)
def test_without_all_of_it_who_moved_away_is_nobodys(facts):
    assert 200 not in rows(a_context(a_process(), **{**MOVED, **facts}))


def test_who_moved_away_stays_for_every_veto_of_a_sweep():
    for each in (a_process(tty=34816), a_process(uid=7), a_program("/opt/unknown", argv=("unknown", "server.js"))):
        assert rows(a_context(each, **MOVED))[200][0] == "spare"
