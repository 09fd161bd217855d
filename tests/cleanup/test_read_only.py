"""Read-only means read-only: no signal, nothing written, nobody started but git to answer a question.

Each command runs in a child whose audit hook reports what it opens for writing, changes, signals and
starts; the state folder, the repository and the processes are compared before and after.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from tests.support.leftovers import a_lease
from tests.support.processes import lives

AUDITED = """
import os, signal, sys
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = ("os.kill", "os.killpg", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link",
            "os.symlink", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.fork", "os.forkpty", "os.exec",
            "os.posix_spawn", "os.system", "shutil.rmtree", "shutil.move", "signal.pthread_kill")
report = os.fdopen(int(sys.argv.pop(1)), "w", buffering=1)
quiet = False
def hook(event, details):
    global quiet
    if quiet:
        return
    quiet = True
    if event in CHANGING:
        print(event, details, file=report)
    elif event == "open" and isinstance(details[2], int) and details[2] & WRITING and details[0] != "/dev/null":
        print(event, details, file=report)
    elif event == "subprocess.Popen" and not allowed(details[1]):
        print(event, details[1], file=report)
    quiet = False
def allowed(words):
    words = [os.fsdecode(word) for word in words]
    return words[:1] == ["git"] and words[1:3] == ["worktree", "list"] or words == ["/bin/sh", "-c", "cat live.json"]
def refused(*words):
    print("signal", words, file=report)
    raise AssertionError
if hasattr(signal, "pidfd_send_signal"):
    signal.pidfd_send_signal = refused
from devrun.cli import main
sys.addaudithook(hook)
code = main(sys.argv[1:])
quiet = True
sys.exit(code)
"""
COMMANDS = [
    "ps",
    "ps --all",
    "ports --all",
    "who {port}",
    "who 1",
    "doctor",
    "history",
    "worktree list",
    "sweep --dry-run",
    "sweep --dry-run --explain",
    "reap {live} --dry-run",
    "reap {gone} --dry-run",
    "guard web --dry-run",
    "guard web --dry-run --force",
]
SERVICES = """\
services:
  web: {{command: "true", port: {port}, match: {match}}}
sweep:
  registries: [{{name: r, match: {match}, grace: 0, live: {{command: cat live.json, pids: "[]"}}}}]
  pidfiles: [".state/active-session-{{pid}}"]
  suspects: [{{name: s, match: {match}, owner: claude}}]
"""


def contents(folder):
    """Return every file of a folder by its content; of the database what it says, without SQLite's side files."""
    found = {}
    for where, folders, names in os.walk(folder):
        found |= {os.path.join(where, name): "folder" for name in folders}
        for name in names:
            path = os.path.join(where, name)
            if name == "state.db":
                with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                    found[path] = "\n".join(database.iterdump())
                database.close()
            elif not name.startswith("state.db-") and os.path.isfile(path):
                with open(path, "rb") as file:
                    facts = os.lstat(path)
                    found[path] = (hashlib.sha256(file.read()).hexdigest(), facts.st_mtime_ns, facts.st_mode)
    return found


@pytest.fixture
def scene(state, repository, server, listener, staged_run, monkeypatch):
    """Something of everything that a sweep, a guard or a reap would act on."""
    holder = listener(
        "/",
    )
    port = holder.facts["port"]
    match = f"{os.path.basename(os.path.dirname(repository.path))}/x.js"
    repository.write({"services.yaml": SERVICES.format(port=port, match=match), "live.json": "[]"})
    dead = os.path.join(repository.path, ".state", f"active-session-{2**22 - 1}")
    repository.write({os.path.relpath(dead, repository.path): ""})
    gone, live = repository.worktree("gone"), repository.worktree("live")
    for slot, path in enumerate((gone, live), start=1):
        state.leases.put(a_lease(path, slot), {})
    run, alive = staged_run("r1", repository.path), staged_run("r2", live)
    children = [
        holder, server(gone), server(live), server("/", stamp=run.stamp), server("/", stamp=alive.stamp),
        server(repository.path, "ready(); rest()", f"/opt/{match}"),
    ]  # fmt: skip
    repository.remove(gone)
    run.die()
    state.close()
    monkeypatch.chdir(repository.path)
    return {"port": str(port), "gone": gone, "live": live, "children": children, "folder": repository.path}


def audited(*words):
    """Run a command in an audited child; return the finished child and what the audit reported."""
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, str(writer), *words],
        pass_fds=[writer],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    os.close(writer)
    with os.fdopen(reader) as report:
        return done, report.read()


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("way", ["text", "json"])
def test_it_signals_nobody_and_writes_nothing(scene, line, way):
    words = line.format(**scene).split() + (["--json"] if way == "json" else [])
    state = os.environ["DEVRUN_STATE_DIR"]
    before = contents(state), contents(scene["folder"])
    done, reported = audited(*words)
    assert reported == ""
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 3), done.stderr
    if way == "json":
        assert json.loads(done.stdout)["kind"] in (line.split()[0], " ".join(line.split()[:2]))
    assert (contents(state), contents(scene["folder"])) == before
    assert all(lives(child.process) for child in scene["children"])


@pytest.mark.crash
def test_the_audit_sees_what_a_real_sweep_does(scene):
    _, reported = audited("sweep")
    assert "signal" in reported


def test_the_scene_has_something_for_a_sweep_to_do(scene):
    done = subprocess.run(
        [sys.executable, "-m", "devrun", "sweep", "--dry-run", "--json"], capture_output=True, text=True, check=True
    )
    data = json.loads(done.stdout)["data"]
    own = {child.pid for child in scene["children"]}
    assert len([row for row in data["processes"] if row["pid"] in own and row["action"] == "stop"]) == 2
    assert len([row for row in data["processes"] if row["pid"] in own and row["reason"] == "suspect"]) == 1
    assert (len(data["files"]), len(data["leases"])) == (1, 1)


@pytest.mark.parametrize("line", ["ps", "ps --all", "ports --all", "who 1", "doctor", "history", "sweep --dry-run"])
def test_without_a_state_folder_none_is_made(repository, monkeypatch, line):
    repository.write({"services.yaml": "services: {web: {command: 'true', port: 3000}}\n"})
    monkeypatch.chdir(repository.path)
    subprocess.run([sys.executable, "-m", "devrun", *line.split()], capture_output=True, check=True)
    assert not os.path.exists(os.environ["DEVRUN_STATE_DIR"])
