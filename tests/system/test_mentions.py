"""The cheap look at command lines finds everybody whom the careful one would: real processes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from devrun.decide import commandline
from devrun.system.processes import Column, find_mentions, read_details, read_snapshot
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


def matched_and_found(pattern, pid):
    matching = commandline.matches(pattern, read_details(read_snapshot(), [pid], Column.ARGV).get(pid))
    return matching, pid in Mentions().of([pattern])


@pytest.fixture
def linked_script(processes, tmp_path):
    """Start a shell on `bin/tool`, a link to `lib/real-name.sh` of a folder; PWD does not say where."""
    folder = tmp_path / "worktree"

    def lay_out():
        (folder / "lib").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "lib" / "real-name.sh").write_text("echo; read forever\n")
        (folder / "bin" / "tool").symlink_to("../lib/real-name.sh")
        return folder

    def start(*argv, executable=None):
        child = processes.popen(
            [*argv, "bin/tool"],
            executable=executable,
            cwd=lay_out(),
            env={"PWD": "/"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdout.readline() == b"\n"
        return child.pid

    start.lay_out = lay_out
    return start


def test_the_script_of_a_folder_that_was_deleted_and_made_again_is_found(linked_script, tmp_path):
    pid = linked_script("/bin/sh")
    shutil.rmtree(tmp_path / "worktree")
    assert matched_and_found(f"{tmp_path}/worktree/bin", pid) == (True, True)
    linked_script.lay_out()
    assert matched_and_found("lib/real-name.sh", pid) == (True, True)


def test_the_script_of_an_interpreter_whose_own_file_was_replaced_is_found(linked_script, tmp_path):
    shutil.copy("/bin/sh", tmp_path / "sh")
    pid = linked_script("tool", executable=tmp_path / "sh")
    (tmp_path / "sh").unlink()
    assert matched_and_found("lib/real-name.sh", pid) == (True, True)


def test_a_script_whose_name_this_locale_cannot_write_is_no_bug(processes, tmp_path):
    script = tmp_path / "é.sh"
    script.write_text("echo; read forever\n")
    child = processes.popen(["/bin/sh", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"\n"
    look = f"from devrun.system.processes import find_mentions as f; print({child.pid} in f([{str(tmp_path)!r}]))"
    ascii_only = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    found = subprocess.run([sys.executable, "-c", look], env=ascii_only, capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("True\n", "")


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


def test_a_look_without_descriptors_left_is_no_answer(monkeypatch):
    def exhausted(*_arguments, **_options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("devrun.system.linux_process.os", SimpleNamespace(**{**vars(os), "open": exhausted}))
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        find_mentions(["next"])
