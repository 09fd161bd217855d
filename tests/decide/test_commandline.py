"""`match` as people write it: what kills the docs server that spins spares everybody who only mentions it."""

from __future__ import annotations

import pytest

from devrun.decide.classify import decide
from devrun.decide.commandline import matches
from devrun.model import Situation
from tests.support.decisions import LIVE_HERE, a_context, a_process, a_program

MINT = "@mintlify/cli/bin/start.js"
REAL = "/home/me/.npm/lib/node_modules/@mintlify/cli/bin/start.js"


def node(*argv, script=None, **facts):
    return a_process(argv=argv, script=script, **facts)


@pytest.mark.parametrize(
    ("pattern", "record"),
    [
        (MINT, node("node", REAL, "dev", script=REAL)),
        (MINT, node("node", "/w/node_modules/.bin/mint", "dev", script=REAL)),
        (MINT, node("node", "--no-warnings", "/w/node_modules/.bin/mint", "dev", script=REAL)),
        ("mint dev", node("node", "/w/node_modules/.bin/mint", "dev", script=REAL)),
        ("start.js dev", node("node", "/w/node_modules/.bin/mint", "dev", script=REAL)),
        ("next dev", node("node", "/w/node_modules/.bin/next", "dev", script="/w/node_modules/next/dist/bin/next")),
        ("next-server", a_process(argv=("next-server (v16.0.1)",), script=None)),
        ("next-server (v16", a_process(argv=("next-server (v16.0.1)",), script=None)),
        ("server.js --port 3000", node("node", "/w/server.js", "--port", "3000", script="/w/server.js")),
        ("/opt/node/bin/node server.js", node("node", "server.js", exe="/opt/node/bin/node", script="/w/server.js")),
        ("my server.js", node("node", "/w/my server.js", script="/w/my server.js")),
        ("uvicorn app:app", a_process(argv=("python", "-m", "uvicorn", "app:app"), script=None)),
    ],
)
def test_a_command_as_people_write_it_matches(pattern, record):
    assert matches(pattern, record)


@pytest.mark.parametrize(
    ("pattern", "record"),
    [
        (MINT, a_program("/bin/sh", "-c", f"node {REAL} dev")),
        (MINT, a_program("/usr/bin/git", "commit", "-m", f"fix {MINT} again")),
        (MINT, node("node", "/x/claude/cli.js", "-p", f"stop {MINT} please", script="/x/claude/cli.js")),
        ("dev fast", a_process(argv=("node", "dev", "a b", "fast"), script=None)),
        ("", a_process()),
        ("   ", a_process()),
        ("\0", a_process(argv=("node", "a b", "c"))),
        ("node \0 c", a_process(argv=("node", "a b", "c"), script=None, exe=None)),
        (MINT, a_process(argv=None)),
        (MINT, a_process(argv=())),
    ],
)
def test_a_mention_is_not_a_match(pattern, record):
    assert not matches(pattern, record)


@pytest.mark.parametrize(
    "record",
    [
        a_program("/usr/bin/vim", "start.js"),
        a_program("/usr/bin/grep", "-r", "start.js"),
        a_program("/usr/bin/gdb", "--args", "node", "start.js"),
        a_program("/bin/bash", "start.js"),
        a_program("/usr/bin/tail", "-f", "start.js.log"),
        node("node", "/x/@anthropic-ai/claude-code/cli.js", "start.js", script="/x/@anthropic-ai/claude-code/cli.js"),
    ],
    ids=lambda record: record.argv[0],
)
@pytest.mark.parametrize("situation", [Situation.GUARD, Situation.GUARD_FORCE])
def test_whoever_matches_and_is_no_server_lives(record, situation):
    from devrun.decide.context import Target

    target = Target("docs", frozenset(), "start.js", stop_foreign=situation is Situation.GUARD_FORCE)
    plan = decide(a_context(record, situation=situation, default_place=LIVE_HERE, target=target))
    assert plan.is_empty
    assert [each.record.pid for each in plan.spared] == [record.pid]
