"""Made-up worlds for the decision: records, contexts, and strategies that generate both.

`a_process` is a node server in a gone worktree with every fact known: guilty in a sweep unless a
test says otherwise.  `a_world` generates process tables with cycles, missing parents, unreadable
facts, live and dead runs, stamps, terminals and programs of every kind.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from devrun.decide.context import Context, KnownRun, Target, Tree
from devrun.model import (
    Cwd,
    FileId,
    Folder,
    Listener,
    Liveness,
    ProcessEnvironment,
    ProcessIdentity,
    ProcessRecord,
    ProcessSnapshot,
    RunRecord,
    Situation,
    Stamp,
    Surroundings,
    Worktree,
)

SELF, SHELL_ABOVE, INIT = 100, 90, 1
STATE, REPOSITORY = "/state", "/repo/.git"
HERE, SIBLING, GONE = "/repo", "/repo/.worktrees/b", "/repo/.worktrees/gone"
WORKTREE = Worktree(root=HERE, identity=REPOSITORY, repository=REPOSITORY, is_main=True, slug="main")

LIVE_HERE = Surroundings(HERE, Folder.PRESENT, HERE, REPOSITORY, REPOSITORY, live=True, has_checkout=True)
LIVE_SIBLING = Surroundings(
    SIBLING, Folder.PRESENT, SIBLING, f"{REPOSITORY}/worktrees/b", REPOSITORY, live=True, known=True, has_checkout=True
)
GONE_PLACE = Surroundings(
    GONE, Folder.DELETED, GONE, None, REPOSITORY, live=False, known=True, in_trash=False, has_checkout=False
)
NOWHERE = Surroundings("/", Folder.PRESENT)


def identity(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, pid * 10)


def a_process(pid: int = 200, **facts: Any) -> ProcessRecord:
    """Return a node server without a terminal; every fact is known."""
    known = {
        "identity": identity(pid),
        "ppid": INIT,
        "pgid": pid,
        "sid": pid,
        "tty": 0,
        "uid": 1000,
        "state": "S",
        "name": "node",
        "started_at": 1000.0,
        "argv": ("node", "server.js"),
        "exe": "/usr/bin/node",
        "script": f"{GONE}/server.js",
        "cwd": Cwd(GONE, deleted=True, file_id=FileId(1, pid)),
        "environment": ProcessEnvironment(pwd=GONE),
        "pid_namespace": 7,
        "mount_namespace": 8,
    }
    return ProcessRecord(**{**known, **facts})


def a_program(exe: str, *arguments: str, pid: int = 200, **facts: Any) -> ProcessRecord:
    """Return a process that runs `exe` without a script."""
    known = {"argv": (exe, *arguments), "exe": exe, "script": None, "name": exe.rpartition("/")[2][:15]}
    return a_process(pid, **{**known, **facts})


def stamped(run: str = "dead", service: str = "web", worktree: str = SIBLING, state: str = STATE) -> ProcessEnvironment:
    return ProcessEnvironment(stamp=Stamp(run, service, worktree, state), pwd=worktree)


def a_run(name: str, liveness: Liveness, **facts: Any) -> KnownRun:
    known = {
        "id": name,
        "worktree": SIBLING,
        "worktree_identity": f"{REPOSITORY}/worktrees/b",
        "keeper": None,
        "supervisor": None,
        "boot_id": "boot",
        "started_at": 0.0,
    }
    return KnownRun(RunRecord(**{**known, **facts}), liveness)


RUNS = {
    "dead": a_run("dead", Liveness.DEAD),
    "live": a_run("live", Liveness.LIVE),
    "unsure": a_run("unsure", Liveness.UNKNOWN),
    "mine": a_run("mine", Liveness.LIVE, worktree=HERE, worktree_identity=REPOSITORY),
}


def ourselves() -> tuple[ProcessRecord, ...]:
    """Return this devrun, the shell above it, and init."""
    return (
        a_program("/sbin/init", pid=INIT, ppid=0, uid=0),
        a_program("/bin/zsh", pid=SHELL_ABOVE, tty=34816, sid=SHELL_ABOVE),
        a_process(SELF, ppid=SHELL_ABOVE, sid=SHELL_ABOVE, tty=34816),
    )


def a_context(
    *records: ProcessRecord,
    situation: Situation = Situation.SWEEP,
    places: dict[int, Surroundings] | None = None,
    default_place: Surroundings | None = GONE_PLACE,
    listeners: tuple[Listener, ...] = (),
    **facts: Any,
) -> Context:
    """Return a context over these records and ourselves; everybody stands at `default_place` unless `places` says."""
    everybody = (*ourselves(), *records)
    surroundings = {} if default_place is None else {each.identity: default_place for each in records}
    surroundings |= {identity(pid): place for pid, place in (places or {}).items()}
    known: dict[str, Any] = {
        "situation": situation,
        "snapshot": ProcessSnapshot(everybody, self_pid=SELF, boot_id="boot", listeners=listeners),
        "uid": 1000,
        "state_dir": STATE,
        "runs": RUNS,
        "surroundings": surroundings,
    }
    if situation is not Situation.SWEEP:
        known["worktree"] = WORKTREE
    if situation in (Situation.GUARD, Situation.GUARD_FORCE):
        force = situation is Situation.GUARD_FORCE
        known["target"] = Target("web", frozenset({3000}), "server.js", stop_foreign=force)
    if situation is Situation.TEARDOWN:
        known |= {"run": "mine", "tree": Tree(everything=True)}
    return Context(**{**known, **facts})


PROGRAMS = (
    ("/usr/bin/node", ("node", "/x/server.js")),
    ("/usr/bin/node", ("node", "/x/node_modules/@anthropic-ai/claude-code/cli.js")),
    ("/usr/bin/node", ("next-server (v16.0.1)",)),
    ("/usr/bin/python3.11", ("python", "-m", "http.server")),
    ("/bin/sh", ("sh", "-c", "node server.js")),
    ("/bin/bash", ("bash",)),
    ("/usr/bin/vim", ("vim", "server.js")),
    ("/usr/bin/tmux", ("tmux", "new-session")),
    ("/usr/bin/docker-proxy", ("docker-proxy",)),
    ("/usr/bin/ssh", ("ssh", "-L", "3000:x:3000")),
    ("/usr/bin/watchman", ("watchman",)),
    ("/usr/bin/sleep", ("sleep", "100")),
)
PLACES = (
    GONE_PLACE,
    LIVE_HERE,
    LIVE_SIBLING,
    NOWHERE,
    msgspec.structs.replace(GONE_PLACE, live=None),
    msgspec.structs.replace(GONE_PLACE, in_trash=True, folder=Folder.PRESENT, known=False),
    msgspec.structs.replace(GONE_PLACE, folder=Folder.PRESENT),
    msgspec.structs.replace(LIVE_SIBLING, folder=Folder.DELETED, predecessor=True),
    msgspec.structs.replace(LIVE_SIBLING, folder=Folder.DELETED, predecessor=False),
    None,
)
ENVIRONMENTS = (
    None,
    ProcessEnvironment(),
    ProcessEnvironment(pwd=HERE),
    stamped("dead"),
    stamped("live"),
    stamped("unsure"),
    stamped("mine", worktree=HERE),
    stamped("forgotten"),
    stamped("dead", state="/elsewhere"),
    stamped("dead", worktree=GONE),
)
OPTIONAL = (
    "ppid", "pgid", "sid", "tty", "uid", "state", "name", "started_at", "argv", "exe", "cwd", "environment",
    "pid_namespace", "mount_namespace",
)  # fmt: skip


@st.composite
def a_record(draw: st.DrawFn, pid: int, pids: list[int], *, parent: int) -> ProcessRecord:
    """Draw a node server that would be stopped, and change a few things about it."""
    record = a_process(pid, ppid=parent)
    kinds = draw(
        st.lists(
            st.sampled_from(["ppid", "sid", "tty", "uid", "state", "program", "stamp", "space", "unread"]), max_size=3
        )
    )
    changes: dict[str, Any] = {}
    for kind in kinds:
        if kind == "ppid":
            changes["ppid"] = draw(st.sampled_from([*pids, *pids, 0, SHELL_ABOVE, SELF, 9999]))
        elif kind == "sid":
            changes["sid"] = draw(st.sampled_from([*pids, SHELL_ABOVE]))
        elif kind == "tty":
            changes["tty"] = 34816
        elif kind == "uid":
            changes["uid"] = 0
        elif kind == "state":
            changes["state"] = draw(st.sampled_from(["R", "Z"]))
        elif kind == "program":
            exe, argv = draw(st.sampled_from(PROGRAMS))
            script = argv[1] if len(argv) > 1 and argv[1].startswith("/") else None
            changes |= {"argv": argv, "exe": exe, "script": script}
        elif kind == "stamp":
            changes["environment"] = draw(st.sampled_from(ENVIRONMENTS))
        elif kind == "space":
            changes["pid_namespace"] = 9
        else:
            changes[draw(st.sampled_from(OPTIONAL))] = None
    return msgspec.structs.replace(record, **changes)


@st.composite
def one_of_ours(draw: st.DrawFn, pid: int, parent: int) -> ProcessRecord:
    """Draw ourselves, who is above us, or pid 1 (a container's): as guilty as anybody but for who they are."""
    facts = {"tty": 34816} if draw(st.booleans()) else {}
    environment = draw(st.sampled_from([ProcessEnvironment(pwd=GONE), ProcessEnvironment(pwd=HERE), stamped("dead")]))
    return a_process(pid, ppid=parent, environment=environment, **facts)


@st.composite
def a_world(draw: st.DrawFn, situations: tuple[Situation, ...] = tuple(Situation)) -> Context:
    """Generate a context of any situation."""
    situation = draw(st.sampled_from(situations))
    pids = list(range(200, 200 + draw(st.integers(1, 7))))
    parent = SELF if situation is Situation.TEARDOWN else INIT
    records = [draw(a_record(pid, pids, parent=parent)) for pid in pids]
    records += [
        draw(one_of_ours(*each))
        for each in ((SELF, SHELL_ABOVE), (SHELL_ABOVE, draw(st.sampled_from([0, 1]))), (INIT, 0))
    ]
    guilty = GONE_PLACE if situation is Situation.SWEEP else LIVE_HERE
    pids = [record.pid for record in records]
    places = {pid: draw(st.one_of(st.just(guilty), st.sampled_from(PLACES))) for pid in pids}
    leaders = {f"s{pid}": identity(pid) for pid in draw(st.lists(st.sampled_from(pids), unique=True, max_size=2))}
    runs = draw(st.sampled_from([RUNS, RUNS, RUNS, RUNS, RUNS, RUNS, None, {}]))
    if runs:
        dead = a_run("dead", Liveness.DEAD, groups=leaders)
        runs = {**runs, "dead": dead} if draw(st.booleans()) else runs
    facts: dict[str, Any] = {
        "places": {pid: place for pid, place in places.items() if place is not None},
        "default_place": None,
        "listeners": tuple(Listener(3000, "::", pid) for pid in draw(st.lists(st.sampled_from(pids), max_size=3))),
        "runs": runs,
    }
    origins = draw(
        st.lists(st.tuples(st.sampled_from(pids), st.sampled_from((LIVE_HERE, LIVE_SIBLING, GONE_PLACE))), max_size=3)
    )
    facts["origins"] = {identity(pid): (place,) for pid, place in origins}
    if situation is Situation.TEARDOWN:
        facts["tree"] = Tree(leaders=leaders, everything=draw(st.booleans()))
    if situation is Situation.SWEEP:
        facts["matches"] = frozenset(draw(st.sampled_from(((), ("server.js",), ("next-server",)))))
        facts["untracked"] = {identity(pid): "registry" for pid in draw(st.lists(st.sampled_from(pids), max_size=1))}
        facts["tracked"] = {identity(pid): "registry" for pid in draw(st.lists(st.sampled_from(pids), max_size=1))}
        facts["suspects"] = {identity(pid): "mcp" for pid in draw(st.lists(st.sampled_from(pids), max_size=1))}
    if situation in (Situation.SWEEP, Situation.REAP):
        held = draw(st.lists(st.tuples(st.sampled_from(pids), st.sampled_from(PLACES[:-1])), max_size=2))
        facts["sockets"] = {identity(pid): place for pid, place in held if place is not None}
    return a_context(*records, situation=situation, **facts)
