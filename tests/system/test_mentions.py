"""The cheap look at command lines finds everybody whom the careful one would: real processes."""

from __future__ import annotations

import os
import sys

import pytest

from devrun.decide import commandline
from devrun.system.mentions import find_mentions
from devrun.system.processes import Column, read_details, read_snapshot
from devrun.worktrees.survey import Mentions, Survey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SCRIPT = "import os, signal, sys\nos.chdir('/')\nos.write(int(sys.argv[1]), b'.')\nsignal.pause()\n"


@pytest.fixture
def scripted(processes, tmp_path):
    """Start a script by a link to it, which goes elsewhere at once; `relative` as `npm run` would name it."""
    target = tmp_path / "node_modules" / "@mintlify" / "cli" / "bin"
    target.mkdir(parents=True)
    (target / "start.py").write_text(SCRIPT)
    (tmp_path / ".bin").mkdir()
    os.symlink(target / "start.py", tmp_path / ".bin" / "mint")

    def start(name):
        reader, writer = os.pipe()
        environment = {**os.environ, "PWD": str(tmp_path)}
        argv = [sys.executable, name, str(writer)]
        child = processes.popen(argv, cwd=tmp_path, env=environment, pass_fds=[writer])
        os.close(writer)
        assert os.read(reader, 1) == b"."
        os.close(reader)
        return child.pid

    return start


@pytest.mark.parametrize("name", [".bin/mint", "{folder}/.bin/mint"], ids=["relative", "absolute"])
def test_a_script_that_was_started_by_a_link_is_found(scripted, tmp_path, name):
    pid = scripted(name.format(folder=tmp_path))
    assert pid in find_mentions([f"{tmp_path}/node_modules/@mintlify/cli/bin/start.py"])
    assert pid in find_mentions([".bin/mint"])
    assert pid not in find_mentions(["@mintlify/cli/bin/other.py"])


@pytest.mark.parametrize(
    "pattern", ["next dev", "next  dev", "{name}", os.path.realpath(sys.executable), "étage", "no such thing"]
)
def test_whoever_matches_is_found(processes, tmp_path, pattern):
    name = f"run-{tmp_path.name}"
    pids = [
        processes.python("ready(); rest()", "next", "dev", name).pid,
        processes.python("ready(); rest()", "étage").pid,
        processes.python("ready(); rest()").pid,
    ]
    pattern = pattern.format(name=name)
    snapshot = read_details(read_snapshot(), pids, Column.ARGV)
    matching = {pid for pid in pids if commandline.matches(pattern, snapshot.get(pid))}
    assert matching <= (Mentions().of([pattern]) or frozenset())


def test_nothing_is_looked_for_without_a_word(monkeypatch):
    monkeypatch.setattr(os, "listdir", None)
    assert find_mentions([]) == frozenset()
    assert Mentions().of(["", "  "]) == frozenset()


def test_a_pattern_is_looked_for_once(monkeypatch):
    asked = []
    monkeypatch.setattr("devrun.worktrees.survey.find_mentions", lambda words: asked.append(words) or frozenset({1}))
    mentions = Mentions()
    assert mentions.of(["next dev"]) == mentions.of(["next start", "next dev"]) == frozenset({1})
    assert asked == [frozenset({"next"})]


def test_where_there_is_no_cheap_look_everybody_of_the_user_is_read(monkeypatch, processes):
    monkeypatch.setenv("DEVRUN_PORTABLE", "1")
    child = processes.python("ready(); rest()", "some-word")
    assert find_mentions(["some-word"]) is None
    survey = Survey()
    assert child.pid in survey.mentioning(["other-word"])
    assert survey.snapshot.get(child.pid).argv[-1] == "some-word"
