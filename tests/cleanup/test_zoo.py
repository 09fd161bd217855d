"""The zoo: about thirty guilty and thirty innocent processes at once, all real, in real worktrees.

Exactly the guilty die, the dry run announces exactly them before, and a second sweep is silent.  Other
tests sweep the same machine, so the guilty are so by the configuration and the state of this test only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys

import psutil
import pytest

from devrun.cli import main
from devrun.state import open_state
from tests.support.leftovers import LISTENER, a_lease, a_lease_of_gone, executable_named
from tests.support.processes import lives
from tests.support.repositories import Repository

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word on deleted folders is Linux's")

QUIET = "ready(); rest()"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); rest()"
FORKED = "pid = os.fork()\nif not pid: rest()\nready(more=[pid]); rest()"
LEFT_SESSION = "pid = os.fork()\nif not pid:\n    os.setsid(); rest()\nready(more=[pid]); rest()"
DAEMON = (
    "r, w = os.pipe()\nif not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
    "    os.write(w, str(os.getpid()).encode()); rest()\nready(more=[int(os.read(r, 20))]); rest()"
)
STOPPED = "pid = os.fork()\nif not pid:\n    os.kill(os.getpid(), signal.SIGSTOP)\nos.waitpid(pid, os.WUNTRACED); ready(more=[pid]); rest()"


class Zoo:
    """Where specimens are planted.  What dies is `guilty`, what lives is `innocent`."""

    def __init__(self, processes, terminal, folder, state, monkeypatch):
        self.processes, self.terminal, self.folder, self.state = processes, terminal, folder, state
        self.monkeypatch = monkeypatch
        self.guilty: dict[int, str] = {}
        self.innocent: dict[int, str] = {}
        self.handles: dict[int, psutil.Process] = {}

    def plant(self, name, cwd, code=QUIET, *arguments, guilty, stamp=None, argv0=None):
        """Start a Python, perhaps under another name, with a true PWD; remember what must become of it."""
        env = {"PATH": os.environ["PATH"], "PWD": os.fspath(cwd)}
        env |= {f"DEVRUN_{key.upper()}": value for key, value in (stamp or {}).items()}
        with self.monkeypatch.context() as patch:
            if argv0 is not None:
                patch.setattr(sys, "executable", executable_named(self.folder, argv0))
            child = self.processes.python(code, *arguments, cwd=cwd, env=env, start_new_session=True)
        self._note(name, [child.pid, *child.facts.get("more", [])], guilty)

    def plant_command(self, name, argv, cwd, *, guilty, stamp=None):
        """Start any other command, which is ready when it runs."""
        env = {"PATH": os.environ["PATH"], "PWD": os.fspath(cwd)}
        env |= {f"DEVRUN_{key.upper()}": value for key, value in (stamp or {}).items()}
        child = self.processes.popen(argv, cwd=cwd, env=env, stdin=-1, start_new_session=True)
        self._note(name, [child.pid], guilty)

    def plant_at_terminal(self, name, cwd):
        """A person's shell in a terminal, and the server that was started from it."""
        shell = self.terminal(["bash", "--norc"], cwd=cwd, env={**os.environ, "PS1": "$ "})
        code = "import os, signal; print('pid', os.getpid(), flush=True); signal.pause()"
        shell.type(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}\n")
        server = int(shell.read_until(r"^pid (\d+)").group(1))
        self._note(name, [shell.pid, server], guilty=False)

    def _note(self, name, pids, guilty):
        for pid in pids:
            (self.guilty if guilty else self.innocent)[pid] = name
            self.handles[pid] = psutil.Process(pid)


@pytest.fixture
def zoo(processes, terminal, tmp_path, state, monkeypatch):
    made = Zoo(processes, terminal, str(tmp_path), state, monkeypatch)
    yield made
    for each in made.handles.values():
        with contextlib.suppress(psutil.Error):
            each.kill()


def plant_the_guilty(zoo, repository, staged_run):
    """Return what has to happen to the folders once everybody stands in them."""
    nested = {name: os.path.join(repository.path, "trees", name) for name in ("a", "b", "watched")}
    for name, path in nested.items():
        repository.worktree(name, path)
    inner = repository.worktree("inner", os.path.join(nested["watched"], "trees", "inner"))
    leased = repository.worktree("leased")
    zoo.state.leases.put(a_lease(leased), {})
    os.makedirs(os.path.join(nested["a"], "apps", "web"))
    for name, code in (("plain", QUIET), ("listens", LISTENER), ("ignores TERM", STUBBORN), ("forked", FORKED)):
        zoo.plant(f"removed by git: {name}", nested["a"], code, guilty=True)
    for name, code in (("left its session", LEFT_SESSION), ("daemon", DAEMON), ("stopped", STOPPED)):
        zoo.plant(f"removed by git: {name}", nested["a"], code, guilty=True)
    zoo.plant("removed by git: in a sub-folder", os.path.join(nested["a"], "apps", "web"), guilty=True)
    zoo.plant("removed by rm -rf", nested["b"], guilty=True)
    zoo.plant("removed by rm -rf: listens", nested["b"], LISTENER, guilty=True)
    zoo.plant("nested in another worktree", inner, guilty=True)
    zoo.plant("known by its lease", leased, guilty=True)
    zoo.plant("known by its lease: a tree of it", leased, FORKED, guilty=True)
    zoo.plant_command(
        "node, where the machine has one", [shutil.which("node") or sys.executable, "-i"], leased, guilty=True
    )
    dead = staged_run("dead", repository.path)
    zoo.plant("dead run: at home", repository.path, guilty=True, stamp=dead.stamp)
    zoo.plant("dead run: listens", repository.path, LISTENER, guilty=True, stamp=dead.stamp)
    zoo.plant("dead run: went to /", "/", guilty=True, stamp=dead.stamp)
    zoo.plant("dead run: daemon", "/", DAEMON, guilty=True, stamp=dead.stamp)
    zoo.plant("dead run: ignores TERM", "/", STUBBORN, guilty=True, stamp=dead.stamp)
    zoo.plant_command("dead run: no runtime at all", ["sleep", "600"], "/", guilty=True, stamp=dead.stamp)
    gone = Repository(os.path.join(zoo.folder, "gone"))
    zoo.state.leases.put(a_lease(gone.path, 2), {})
    zoo.plant("its whole repository is gone", gone.path, guilty=True)
    orphaned_run = staged_run("of-b", nested["watched"])

    def happen():
        for path in (nested["a"], leased, inner, nested["watched"]):
            repository.remove(path)
        shutil.rmtree(nested["b"])
        shutil.rmtree(gone.path)
        os.makedirs(nested["watched"])
        zoo.plant("a watcher's folder, stamped", nested["watched"], guilty=True, stamp=orphaned_run.stamp)
        zoo.plant("a watcher's folder, not stamped", nested["watched"], guilty=False)
        dead.die()
        orphaned_run.die()

    return happen


def plant_the_innocent(zoo, repository, make_repository, staged_run):
    """Return what has to happen to the folders once everybody stands in them."""
    gone = repository.worktree("crowd", os.path.join(repository.path, "trees", "crowd"))
    live = repository.worktree("live", os.path.join(repository.path, "trees", "live"))
    moved, by_hand, short = (repository.worktree(name) for name in ("moved", "by-hand", "cro"))
    for slot, path in enumerate((moved, by_hand), start=5):
        zoo.state.leases.put(a_lease(path, slot), {})
    dist = os.path.join(live, "dist")
    os.makedirs(dist)
    plain = os.path.join(repository.path, "trees", "only-a-folder")
    os.makedirs(plain)
    silent = make_repository("silent")
    of_silent = silent.worktree("x", os.path.join(silent.path, "trees", "x"))
    for name in (
        "vim",
        "code",
        "gdb",
        "chrome",
        "tmux",
        "claude",
        "aider",
        "ssh",
        "docker-proxy",
        "watchman",
        "devrun",
    ):
        zoo.plant(f"{name} in the gone worktree", gone, guilty=False, argv0=name)
    zoo.plant("a language server", gone, QUIET, "--stdio", guilty=False)
    zoo.plant_command("a shell", ["sh", "-c", "read x; true"], gone, guilty=False)
    zoo.plant_command("no runtime, not stamped", ["sleep", "600"], gone, guilty=False)
    zoo.plant_at_terminal("a person's terminal", gone)
    zoo.plant("in the main checkout", repository.path, LISTENER, guilty=False)
    zoo.plant("in a live worktree", live, LISTENER, guilty=False)
    zoo.plant("in a deleted sub-folder", dist, guilty=False)
    zoo.plant("in a worktree whose name begins the same", short, guilty=False)
    zoo.plant("in a worktree that git moves", moved, guilty=False)
    zoo.plant("in a worktree that somebody moves", by_hand, guilty=False)
    zoo.plant("in a folder that only looks like a worktree", plain, guilty=False)
    zoo.plant("in the git dir", os.path.join(repository.path, ".git", "hooks"), guilty=False)
    zoo.plant("where git does not answer", of_silent, guilty=False)
    zoo.plant("nowhere", "/", guilty=False)
    zoo.plant("mentions it", "/", QUIET, f"stop what is in {gone}", guilty=False)
    alive, dead = staged_run("alive", live), staged_run("dead-too", repository.path)
    zoo.plant("of a live run", "/", guilty=False, stamp=alive.stamp)
    zoo.plant("of an unknown run", "/", guilty=False, stamp={**alive.stamp, "run": "forgotten"})
    zoo.plant("of another state folder", "/", guilty=False, stamp={**dead.stamp, "state_dir": "/elsewhere"})
    zoo.plant("stamped, in another live worktree", live, guilty=False, stamp=dead.stamp)
    for name in ("firefox", "nvim", "zellij", "codex", "sccache"):
        zoo.plant(f"stamped {name}", "/", FORKED, guilty=False, stamp=dead.stamp, argv0=name)

    def happen():
        repository.remove(gone)
        shutil.rmtree(dist)
        repository.git("worktree", "move", moved, moved + "-on")
        os.rename(by_hand, by_hand + "-on")
        shutil.rmtree(of_silent)
        os.rename(os.path.join(silent.path, ".git", "HEAD"), os.path.join(silent.path, ".git", "HEAD.off"))
        zoo.state.leases.put(a_lease_of_gone(of_silent, silent), {})
        dead.die()

    return happen


def swept(capsys, *words):
    """Return what a sweep would stop, or stopped, by pid."""
    capsys.readouterr()
    assert main(["sweep", "--json", *words]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["processes"]
    return {row["pid"]: row for row in rows if row["action"] == "stop"}


def test_exactly_the_guilty_die_as_announced_and_the_second_sweep_is_silent(
    zoo, repository, make_repository, staged_run, capsys, monkeypatch
):
    happenings = [
        plant_the_guilty(zoo, repository, staged_run),
        plant_the_innocent(zoo, repository, make_repository, staged_run),
    ]
    for happen in happenings:
        happen()
    repository.write(
        {
            "services.yaml": f"services: {{web: {{command: node x}}}}\nsweep: {{paths: ['{zoo.folder}/*/trees/*', '{zoo.folder}/*/trees/*/trees/*'], budget: 20}}\n"
        }
    )
    monkeypatch.chdir(repository.path)
    everybody = zoo.guilty | zoo.innocent
    announced = swept(capsys, "--dry-run")
    assert {everybody[pid] for pid in announced if pid in everybody} == set(zoo.guilty.values())
    assert announced.keys() & everybody.keys() == zoo.guilty.keys()
    assert all(lives(each) for each in zoo.handles.values())
    stopped = swept(capsys)
    assert stopped.keys() & everybody.keys() == zoo.guilty.keys()
    assert [zoo.guilty[pid] for pid in zoo.guilty if lives(zoo.handles[pid])] == []
    assert [zoo.innocent[pid] for pid in zoo.innocent if not lives(zoo.handles[pid])] == []
    assert not swept(capsys).keys() & everybody.keys()
    with open_state(create=False) as state:
        assert zoo.guilty.keys() <= {row.pid for row in state.journal.history()}
