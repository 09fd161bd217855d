"""Everything a decision may know beside the record it judges: values, gathered before it begins.

A fact that is missing is `None` (or absent from a mapping) and counts for the process.  What is
derived from the facts (whose descendant, whose session) is worked out once per context, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from devrun.decide.fate import Row, judge
from devrun.decide.tree import Member, tree_members
from devrun.model import (
    Liveness,
    ProcessIdentity,
    ProcessRecord,
    ProcessSnapshot,
    RunRecord,
    Situation,
    Stamp,
    Surroundings,
    Worktree,
)


class KnownRun(Struct, frozen=True):
    """A run of this state folder, and whether its locks prove it live or dead."""

    record: RunRecord
    liveness: Liveness


class Target(Struct, frozen=True):
    """The service a guard clears the way for.  `stop_foreign`: `--force`, or `on_foreign: stop`."""

    service: str
    ports: frozenset[int] = frozenset()
    match: str | None = None
    stop_foreign: bool = False


class Tree(Struct, frozen=True):
    """What a teardown is about: a run's anchors by service, and (`everything`) all that descends from this process.

    `since` is the start token before which a descendant is none of the run.
    """

    leaders: Mapping[str, ProcessIdentity] = {}
    everything: bool = False
    since: int | None = None


class Context(Struct, frozen=True, dict=True):
    """The facts around a decision.

    `uid` and `state_dir` are our own.  `runs` are those of our state folder by id; `None` when it
    could not be read.  `surroundings` say where a process stands, `origins` where it was started
    (`PWD` and `INIT_CWD`; its script where neither lies in a worktree).  `worktree` is the one a guard or
    a reap is about, `run` the run that a teardown or a guard before a restart belongs to.
    `matches` are those of the services that the configuration of a sweep names.
    `untracked` are processes that a registry of their kind does not list, with its name, `tracked`
    those that one does; `sockets` where the fsmonitor socket a process holds lives; `suspects`
    processes of a configured kind without a live owner, with its name.  `stale` is filled in by
    `classify`.
    """

    situation: Situation
    snapshot: ProcessSnapshot
    uid: int | None
    state_dir: str
    runs: Mapping[str, KnownRun] | None = None
    surroundings: Mapping[ProcessIdentity, Surroundings] = {}
    origins: Mapping[ProcessIdentity, tuple[Surroundings, ...]] = {}
    worktree: Worktree | None = None
    target: Target | None = None
    tree: Tree | None = None
    run: str | None = None
    runtimes: frozenset[str] = frozenset()
    matches: frozenset[str] = frozenset()
    untracked: Mapping[ProcessIdentity, str] = {}
    tracked: Mapping[ProcessIdentity, str] = {}
    sockets: Mapping[ProcessIdentity, Surroundings] = {}
    suspects: Mapping[ProcessIdentity, str] = {}
    stale: frozenset[ProcessIdentity] = frozenset()

    def where(self, record: ProcessRecord, /) -> Surroundings | None:
        """Return where a process stands, None when that is not known."""
        return self.surroundings.get(record.identity)

    def fate(self, record: ProcessRecord, /) -> Row:
        """Return what became of the worktree a process stands in."""
        return judge(self.where(record))

    def stamp(self, record: ProcessRecord, /) -> Stamp | None:
        """Return the stamp of a process when it is one of our state folder."""
        stamp = record.stamp
        return stamp if stamp is not None and stamp.state_dir == self.state_dir else None

    def run_of(self, record: ProcessRecord, /) -> KnownRun | None:
        """Return the run a process is stamped with, when our state folder remembers it."""
        stamp = self.stamp(record)
        return None if stamp is None or self.runs is None else self.runs.get(stamp.run)

    def stands_in(self, record: ProcessRecord, /) -> bool:
        """Say whether a process stands in the worktree asked about (innermost, by git dir)."""
        return self.worktree is not None and self.is_here(self.where(record))

    def is_here(self, place: Surroundings | None, /) -> bool:
        """Say whether a place lies in the worktree asked about: by git dir, or by the very folder at its top."""
        if self.worktree is None or place is None or place.root is None:
            return False
        if place.root_id is not None and place.root_id == self.worktree.file_id:
            return True
        if place.identity is not None:
            return place.identity == self.worktree.identity
        return place.root == self.worktree.root

    def is_sibling(self, place: Surroundings | None, /) -> bool:
        """Say whether a place lies in another worktree of the same repository, or in one that has a lease."""
        if self.worktree is None or place is None or place.root is None or self.is_here(place):
            return False
        return place.leased or (place.repository is not None and place.repository == self.worktree.repository)

    @cached_property
    def lineage(self) -> frozenset[int] | None:
        """Our own pid and those of our ancestors; None when a parent on the way could not be read."""
        chain = self.snapshot.lineage(self.snapshot.self_pid)
        if any(record.ppid is None for record in chain):
            return None
        return frozenset(record.pid for record in chain) | {self.snapshot.self_pid}

    @cached_property
    def holders(self) -> Mapping[int, frozenset[int]]:
        """The TCP ports each pid is seen listening on."""
        ports: dict[int, set[int]] = {}
        for each in self.snapshot.listeners or ():
            if each.pid is not None:
                ports.setdefault(each.pid, set()).add(each.port)
        return {pid: frozenset(held) for pid, held in ports.items()}

    @cached_property
    def supervisors(self) -> frozenset[ProcessIdentity]:
        """Keepers and supervisors of the runs we know, and the anchors of those not proved dead."""
        found: set[ProcessIdentity | None] = set()
        for known in (self.runs or {}).values():
            found |= {known.record.keeper, known.record.supervisor}
            if known.liveness is not Liveness.DEAD:
                found.update(known.record.groups.values())
        return frozenset(each for each in found if each is not None)

    @cached_property
    def live_members(self) -> Mapping[int, str]:
        """By pid, the run not proved dead that a process belongs to: below its supervisor, or in a session of it."""
        members: dict[int, str] = {}
        leaders: dict[int, str] = {}
        for known in (self.runs or {}).values():
            if known.liveness is Liveness.DEAD:
                continue
            if known.record.boot_id and known.record.boot_id != self.snapshot.boot_id:
                continue
            for root in (known.record.keeper, known.record.supervisor):
                if root is not None and self.snapshot.find(root) is not None:
                    members.update((each.pid, known.record.id) for each in self.snapshot.descendants(root.pid))
            leaders.update((leader.pid, known.record.id) for leader in known.record.groups.values())
        if leaders:
            members.update((each.pid, leaders[each.sid]) for each in self.snapshot if each.sid in leaders)
        return members

    @cached_property
    def made_sessions(self) -> Mapping[int, tuple[str, ProcessIdentity]]:
        """By session id, the run that made the session, with its anchor: of runs proved dead, and the one reaped."""
        return {
            leader.pid: (known.record.id, leader)
            for known in (self.runs or {}).values()
            if known.liveness is Liveness.DEAD or self.is_reaped(known)
            if known.record.boot_id in ("", self.snapshot.boot_id)
            for leader in known.record.groups.values()
        }

    def is_reaped(self, known: KnownRun, /) -> bool:
        """Say whether a run belongs to the worktree that is reaped: by git dir, one that is dead by the path, too.

        A live one that was started at this path may have been moved, and another worktree stands here now.
        """
        if self.situation is not Situation.REAP or self.worktree is None:
            return False
        if known.record.worktree_identity == self.worktree.identity:
            return True
        return known.liveness is Liveness.DEAD and known.record.worktree == self.worktree.root

    @cached_property
    def tree_sessions(self) -> Mapping[int, str]:
        """By session id, the service whose anchor leads it; only of anchors that are still the same process."""
        leaders = {} if self.tree is None else self.tree.leaders
        return {leader.pid: service for service, leader in leaders.items() if self.snapshot.find(leader) is not None}

    def in_made_session(self, record: ProcessRecord, /) -> bool:
        """Say whether a process is in a session that the run in question made.

        In a teardown: the session of an anchor that still leads it.  Elsewhere: the session of a run
        that is dead (or reaped), for a process that carries its stamp and is younger than the anchor:
        a session id stays taken while the session has members, so the number is not another's.
        """
        if record.sid is None:
            return False
        if record.sid in self.tree_sessions:
            return True
        stamp = self.stamp(record)
        run, anchor = self.made_sessions.get(record.sid, (None, None))
        return (
            stamp is not None
            and anchor is not None
            and run == stamp.run
            and record.identity.start_token >= anchor.start_token
        )

    def is_attached(self, record: ProcessRecord, /) -> bool:
        """Say whether a process still hangs on an anchor of the teardown: child of a child of its service's command."""
        chain = self.snapshot.lineage(record.pid)
        return any(each.pid in self.tree_sessions for each in chain[1:])

    @cached_property
    def members(self) -> Mapping[ProcessIdentity, Member]:
        """The members of the tree that a teardown is about."""
        return tree_members(self)
