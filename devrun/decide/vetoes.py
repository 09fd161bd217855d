"""Vetoes: why a process stays, whatever the evidence.  One small function a protection, one row a function.

A function takes a record and the context and returns a `Veto` or None; a fact that is missing is an
objection (of `unreadable`, or of the function itself).  A row says in which situations the function
is asked: the table of DESIGN.md section 6, column by column.  `even_ours` says that the veto holds
for members of a session this run made, too: there `sh -c`, `docker run`, an `ssh -L` or a nested
`devrun up` is the service itself, and only who we are and what we may signal is left to object.

All rows are asked, so that `--explain` shows every objection; the first one is the reason.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from devrun.decide import programs
from devrun.decide.context import Context
from devrun.decide.fate import Fate, judge
from devrun.decide.matchers import held_ports
from devrun.decide.tree import is_sheltered
from devrun.model import Liveness, ProcessRecord, Situation, Veto

GUARD, FORCE, SWEEP = Situation.GUARD, Situation.GUARD_FORCE, Situation.SWEEP
REAP, TEARDOWN = Situation.REAP, Situation.TEARDOWN
EVERYWHERE = frozenset(Situation)


class VetoRule(Protocol):
    """The signature of every veto."""

    def __call__(self, record: ProcessRecord, context: Context, /) -> Veto | None:
        """Return the objection, None when there is none."""
        ...


class VetoRow(NamedTuple):
    """A veto, where it holds, and whether it holds for a process in a session that this run made."""

    object_to: VetoRule
    situations: frozenset[Situation]
    even_ours: bool


def system(record: ProcessRecord, _context: Context, /) -> Veto | None:
    """Pid 1 and below is the system."""
    return Veto("system", "is the system itself") if record.pid <= 1 else None


def oneself(record: ProcessRecord, context: Context, /) -> Veto | None:
    """This process and its ancestors; everybody, while a link of that chain is unreadable."""
    if context.lineage is None:
        return Veto("self", "the ancestors of this devrun could not be read")
    return Veto("self", "is this devrun or one of its ancestors") if record.pid in context.lineage else None


def another_user(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Processes of another user, or of a user that could not be read."""
    if record.uid is not None and record.uid == context.uid:
        return None
    return Veto("other-user", "belongs to another user" if record.uid is not None else "its user could not be read")


def devruns_own(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Keepers and supervisors of runs, and any other devrun at work."""
    is_one = record.identity in context.supervisors or programs.kind(record) == programs.DEVRUN
    return Veto("devrun", "is a part of devrun") if is_one else None


def another_namespace(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Processes in another pid or mount namespace: their paths and pids mean something else here.

    Of our own tree only those that are known to be: who may not be dumped hides its namespaces, too.
    """
    own = context.snapshot.get(context.snapshot.self_pid)
    if own is None:
        return Veto("other-namespace", "the namespaces of this devrun could not be read")
    pairs = ((record.pid_namespace, own.pid_namespace), (record.mount_namespace, own.mount_namespace))
    unlike = [theirs for theirs, ours in pairs if theirs != ours]
    if not any(unlike) and (not unlike or context.situation is TEARDOWN):
        return None
    why = "lives in another pid or mount namespace" if any(unlike) else "has namespaces that cannot be read"
    return Veto("other-namespace", f"{why} (a container?)")


def container(record: ProcessRecord, _context: Context, /) -> Veto | None:
    """Proxies and runtimes of containers: the port they hold is a container's."""
    why = "is a proxy or runtime of containers; stop the container instead"
    return Veto("container", why) if programs.kind(record) == programs.CONTAINER else None


def forward(record: ProcessRecord, _context: Context, /) -> Veto | None:
    """Port forwards (ssh and the like): the port they hold is another machine's."""
    return Veto("forward", "forwards a port (ssh)") if programs.kind(record) == programs.FORWARD else None


def live_run(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Members of a run that is not proved dead: by stamp, below its supervisor, or in a session of it.

    Exempt are those that the question is about: the run that is torn down, the service that is
    started again, the worktree that is reaped.  A stamp of another state folder, or of a run
    without a record, says that the run is unknown, which is not dead.
    """
    stamp = record.stamp
    if stamp is not None and context.stamp(record) is None:
        return Veto("other-state", f"was started by a devrun with another state folder, `{stamp.state_dir}`")
    if stamp is not None and stamp.run != context.run and context.run_of(record) is None:
        return Veto("unknown-run", f"was started by run {stamp.run}, of which there is no record")
    ids = {stamp.run} if stamp is not None else set()
    if record.pid in context.live_members:
        ids.add(context.live_members[record.pid])
    for run in sorted(ids):
        known = None if context.runs is None else context.runs.get(run)
        if known is None or known.liveness is Liveness.DEAD or _asked_about(record, run, context):
            continue
        return Veto("live-run", f"belongs to the live run {run} of `{known.record.worktree}`")
    return None


def live_worktree(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Stands (or was started) in a live worktree that the question is not about.

    The stamp of a dead run replaces location for the worktree it names.  A guard and a teardown know
    siblings only: of their own repository, and every worktree with a lease.
    """
    if record.identity in context.untracked or record.identity in context.sockets:
        return None
    run, guards, where = context.run_of(record), context.situation in (GUARD, FORCE), context.where(record)
    places = [where]
    if guards and not context.is_here(where) and not context.is_sibling(where):
        places += context.origins.get(record.identity, ())
    for place in places:
        if place is None or place.root is None or place.live is not True or context.is_here(place):
            continue
        if run is not None and run.liveness is Liveness.DEAD and run.record.worktree_identity == place.identity:
            continue
        if (guards or context.situation is TEARDOWN) and not context.is_sibling(place):
            continue
        if place is not where or context.fate(record).fate is Fate.LIVE:
            return Veto("live-worktree", f"belongs to the live worktree `{place.root}`")
    return None


def protected(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Shells, editors, debuggers, browsers, GUI programs, terminals, multiplexers and agents, stamped or not.

    In a teardown a shell that runs a script or a `-c` program, without a terminal of its own, is a
    step of the service.
    """
    kind = programs.kind(record)
    if kind not in _PROTECTED:
        return None
    is_step = context.situation is TEARDOWN and record.tty == 0 and programs.is_wrapper_shell(record)
    return None if is_step else Veto(kind, _PROTECTED[kind])


def shared_daemon(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Daemons that all worktrees share (watchman, gradle, bazel, adb, docker, …).

    In a teardown one that still hangs on its anchor (`docker run`, `podman`) is the service's command
    itself; one that forked away is a daemon, even in the same session.
    """
    if programs.kind(record) != programs.DAEMON:
        return None
    if context.situation is TEARDOWN and context.in_made_session(record) and context.is_attached(record):
        return None
    return Veto("shared-daemon", "is a daemon that other worktrees share")


def sheltered(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Was started from within a protected program that only carries a stamp: somebody's work, not the service's."""
    if context.stamp(record) is None or not is_sheltered(record, context):
        return None
    return Veto("sheltered", "was started from within a protected program")


def configured_suspect(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Suspects are reported, never stopped, even when they are orphans too."""
    name = context.suspects.get(record.identity)
    return None if name is None else Veto("suspect", f"is a suspect (`{name}`): these are never stopped")


def tracked(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Processes that the registry of their kind lists: somebody answers for them, wherever they stand."""
    name = context.tracked.get(record.identity)
    return None if name is None else Veto("tracked", f"registry `{name}` lists it")


def serving_monitor(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Fsmonitor daemons of a worktree that is not proved gone, whoever started them."""
    place = context.sockets.get(record.identity)
    if place is None:
        return None
    row = judge(place)
    is_reaped = context.situation is REAP and context.is_here(place) and row.fate is not Fate.UNKNOWN
    if row.fate is Fate.ORPHAN or is_reaped:
        return None
    return Veto("fsmonitor-in-use", f"is the fsmonitor daemon of `{place.root or place.path}`: {row.words}")


def unreadable(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Facts that are needed to be sure and could not be read; git that would not say which worktrees live."""
    missing = [name for name in _NEEDED if getattr(record, name) is None]
    if any(each.ppid is None for each in context.snapshot.lineage(record.pid)):
        missing.append("its ancestors")
    if missing:
        return Veto("unreadable", f"could not be read: {', '.join(missing)}")
    if context.runs is None:
        return Veto("unreadable", "the runs of the state folder could not be read")
    if record.identity in context.untracked or record.identity in context.sockets:
        return None
    row = context.fate(record)
    if row.fate is Fate.UNKNOWN:
        place = context.where(record)
        return Veto("live-set-unknown", row.words if place is None or place.problem is None else place.problem)
    return None


def own_terminal(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Has a terminal that is no tether of ours: somebody may be looking at it.  A stale copy is stopped anyway."""
    if record.tty == 0 or context.in_made_session(record):
        return None
    is_stale = context.situation is GUARD and record.identity in context.stale
    return None if is_stale else Veto("terminal", "has a terminal of its own")


def no_runtime(record: ProcessRecord, context: Context, /) -> Veto | None:
    """Is no development runtime and carries no stamp.  The holder of a port may be anything when strangers may go."""
    if context.stamp(record) is not None or programs.is_runtime(record, context.runtimes):
        return None
    if record.identity in context.sockets or _is_below_untracked(record, context):
        return None
    if context.situation is FORCE and held_ports(record, context):
        return None
    return Veto("no-runtime", "is no development server that devrun knows; `sweep.runtimes` adds to the list")


VETOES: tuple[VetoRow, ...] = (
    VetoRow(system, EVERYWHERE, even_ours=True),
    VetoRow(oneself, EVERYWHERE, even_ours=True),
    VetoRow(another_user, EVERYWHERE, even_ours=True),
    VetoRow(devruns_own, EVERYWHERE, even_ours=False),
    VetoRow(another_namespace, EVERYWHERE, even_ours=False),
    VetoRow(container, EVERYWHERE, even_ours=False),
    VetoRow(forward, EVERYWHERE, even_ours=False),
    VetoRow(live_run, EVERYWHERE, even_ours=False),
    VetoRow(protected, EVERYWHERE, even_ours=False),
    VetoRow(shared_daemon, EVERYWHERE, even_ours=True),
    VetoRow(sheltered, EVERYWHERE, even_ours=False),
    VetoRow(live_worktree, EVERYWHERE, even_ours=False),
    VetoRow(configured_suspect, frozenset({SWEEP}), even_ours=True),
    VetoRow(tracked, frozenset({SWEEP}), even_ours=True),
    VetoRow(serving_monitor, frozenset({SWEEP, REAP}), even_ours=True),
    VetoRow(unreadable, EVERYWHERE - {TEARDOWN}, even_ours=True),
    VetoRow(own_terminal, EVERYWHERE - {TEARDOWN, FORCE}, even_ours=True),
    VetoRow(no_runtime, EVERYWHERE - {TEARDOWN}, even_ours=True),
)

_PROTECTED = {
    programs.SHELL: "is a shell",
    programs.EDITOR: "is an editor, or belongs to one",
    programs.DEBUGGER: "is a debugger",
    programs.BROWSER: "is a browser",
    programs.GUI: "is a program with windows",
    programs.TERMINAL: "is a terminal or a multiplexer",
    programs.AGENT: "is a coding agent",
    programs.SEARCH: "searches files for words",
}
_NEEDED = ("ppid", "sid", "tty", "state", "argv", "exe", "cwd", "environment", "started_at")


def objections(record: ProcessRecord, context: Context, /) -> tuple[Veto, ...]:
    """Ask every row that holds here; the first objection is the reason."""
    ours = context.in_made_session(record) and record.identity not in context.supervisors
    found = (
        row.object_to(record, context)
        for row in VETOES
        if context.situation in row.situations and (row.even_ours or not ours)
    )
    return tuple(veto for veto in found if veto is not None)


def _asked_about(record: ProcessRecord, run: str, context: Context) -> bool:
    """Say whether this run is the one that the question is about."""
    if context.situation is TEARDOWN:
        return run == context.run
    known = None if context.runs is None else context.runs.get(run)
    if known is not None and context.is_reaped(known):
        return True
    stamp = context.stamp(record)
    target = context.target
    return run == context.run and stamp is not None and target is not None and stamp.service == target.service


def _is_below_untracked(record: ProcessRecord, context: Context) -> bool:
    """Say whether a process goes with one that its registry does not list: below it, or in the session it leads."""
    for each in context.snapshot.lineage(record.pid):
        leader = context.snapshot.get(each.sid)
        if each.identity in context.untracked or (leader is not None and leader.identity in context.untracked):
            return True
    return False
