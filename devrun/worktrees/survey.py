"""One reading of the machine for one decision, or for several: a snapshot whose dear columns fill up on demand.

Cheap columns are there for everybody; what a question needs beyond them is read for its candidates
only, and never twice.  A process that ended meanwhile drops out.  `up` hands one survey from its
sweep to the guards of all its services.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from devrun.model import Listener, ProcessIdentity, ProcessRecord, ProcessSnapshot, RunRecord, Surroundings, Worktree
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.columns import Column
from devrun.system.processes import find_mentions, read_details, read_snapshot
from devrun.worktrees.listing import list_worktrees
from devrun.worktrees.locate import file_id
from devrun.worktrees.paths import device_above, repository_of
from devrun.worktrees.patterns import Patterns
from devrun.worktrees.places import KnownRoot, Places


class Mentions:
    """Who may have a pattern in the command line: everybody is looked at once for each pattern."""

    def __init__(self) -> None:
        self._found: dict[str, frozenset[int] | None] = {}

    def of(self, patterns: Iterable[str]) -> frozenset[int] | None:
        """Return the pids; None where everybody may.  The first word decides: blanks may be typed in many ways."""
        words = {pattern.split(maxsplit=1)[0] for pattern in patterns if pattern.strip()}
        new = frozenset(words - self._found.keys())
        if new:
            found = find_mentions(new)
            self._found.update(dict.fromkeys(new, found))
        pids = [self._found[word] for word in words]
        return None if None in pids else frozenset().union(*(each for each in pids if each is not None))


class Survey:
    """What has been read so far."""

    def __init__(self, columns: Column = Column(0), *, mentions: Mentions | None = None) -> None:  # noqa: B008 - a value
        """`columns` are wanted for everybody: reading them in the same pass is cheaper than afterwards."""
        self.snapshot = read_snapshot(columns=columns)
        self.mentions = Mentions() if mentions is None else mentions
        self.uid = os.geteuid()
        self._read: dict[int, Column] = {record.pid: columns for record in self.snapshot} if columns else {}
        self.surroundings: dict[ProcessIdentity, Surroundings] = {}
        self.origins: dict[ProcessIdentity, tuple[Surroundings, ...]] = {}
        self.fill([self.snapshot.self_pid], Column.NAMESPACES)

    @property
    def own_pids(self) -> list[int]:
        """The pids of this user's processes that have not ended: the only ones a question can be about."""
        return [record.pid for record in self.snapshot if record.uid == self.uid and not record.is_zombie]

    def mentioning(self, patterns: Iterable[str]) -> list[int]:
        """Return this user's processes that may have one of `patterns` in the command line, which is read then."""
        may = self.mentions.of(patterns)
        found = [pid for pid in self.own_pids if may is None or pid in may]
        self.fill(found, Column.ARGV)
        return found

    def fill(self, pids: Iterable[int], columns: Column = Column.ALL) -> None:
        """Read the columns of these processes that have not been read yet."""
        wanted: dict[Column, list[int]] = {}
        for pid in dict.fromkeys(pids):
            missing = columns & ~self._read.get(pid, Column(0))
            if missing:
                wanted.setdefault(missing, []).append(pid)
                self._read[pid] = self._read.get(pid, Column(0)) | columns
        for missing, group in wanted.items():
            self.snapshot = read_details(self.snapshot, group, missing)

    def hear(self, listeners: Iterable[Listener] | None) -> None:
        """Add the listeners that were read; None: they could not be."""
        self.snapshot = ProcessSnapshot(
            self.snapshot, self_pid=self.snapshot.self_pid, boot_id=self.snapshot.boot_id, listeners=listeners
        )

    def look_closely(self, pids: Iterable[int], places: Places, *, origins: bool = False) -> None:
        """Read everything about these processes, their descendants and ancestors, and where they stand.

        Descendants go with those that are stopped; ancestors may be what shelters a process, or the
        only ones that still say where it was started.
        """
        asked = list(dict.fromkeys(pids))
        kin = {record.pid for pid in asked for record in self.snapshot.descendants(pid)}
        above = {record.pid for pid in asked for record in self.snapshot.lineage(pid) if record.uid == self.uid}
        everybody = [*asked, *sorted((kin | above) - set(asked))]
        self.fill(everybody)
        for pid in everybody:
            record = self.snapshot.get(pid)
            if record is None or record.cwd is None or record.identity in self.surroundings:
                continue
            self.surroundings[record.identity] = places.around(record.cwd, started_at=record.started_at)
        for pid in everybody if origins else ():
            record = self.snapshot.get(pid)
            if record is not None and record.identity not in self.origins:
                self.origins[record.identity] = _origins_of(record, places)


def make_places(  # noqa: PLR0913 - one call gathers all that is known
    state: State,
    *,
    runs: Iterable[RunRecord] = (),
    worktree: Worktree | None = None,
    patterns: Iterable[str] = (),
    repository: str | None = None,
    deadline: float | None = None,
) -> Places:
    """Return the places that devrun knows: leases, runs, the worktree asked about, patterns (of `repository`)."""
    known = [
        KnownRoot(run.worktree, identity=run.worktree_identity, repository=repository_of(run.worktree_identity))
        for run in runs
    ]
    known += [_of_lease(lease) for lease in state.leases.all()]
    if worktree is not None and worktree.root not in {each.root for each in known if each.leased}:
        known.append(KnownRoot(worktree.root, identity=worktree.identity or None, repository=worktree.repository))
    repository = repository if worktree is None else worktree.repository
    return Places(known, Patterns(patterns), deadline=deadline, repository=repository)


def _of_lease(lease: Lease) -> KnownRoot:
    return KnownRoot(
        root=lease.root,
        identity=lease.identity,
        repository=lease.repository,
        leased=True,
        parent_device=lease.parent_device,
        repository_device=lease.repository_parent_device,
    )


def started_at(record: ProcessRecord | None) -> list[str]:
    """Return the paths that say where a process was started: `PWD` at exec, `INIT_CWD`, its script."""
    if record is None:
        return []
    environment = record.environment
    paths = [] if environment is None else [environment.pwd, environment.init_cwd]
    return [path for path in (*paths, record.script) if path and os.path.isabs(path)]


def _origins_of(record: ProcessRecord, places: Places) -> tuple[Surroundings, ...]:
    """Return where a process was started: by `PWD` and `INIT_CWD`, else by its script.

    The script comes second because worktrees may share one `node_modules`.
    """
    environment = record.environment
    paths = [] if environment is None else [environment.pwd, environment.init_cwd]
    for group in (paths, [record.script]):
        found = [places.at(path) for path in group if path and os.path.isabs(path)]
        if any(each.root is not None for each in found):
            return tuple(found)
    return ()


def worktree_is_gone(worktree: Worktree) -> str | None:
    """Return why a worktree that was there is lost (removed, moved to trash, re-created), None while it is not.

    Moved by git is not lost, nor is what cannot be told: git silent, a volume unmounted.  Re-created is
    told by device and inode, which no other folder gets while somebody stands in this one or below: the
    anchors of a run's services do.
    """
    now = file_id(worktree.root)
    if now is not None and now == worktree.file_id:
        return None
    entries = None if worktree.repository is None else list_worktrees(worktree.repository).entries
    for entry in entries or ():
        if entry.identity == worktree.identity and os.path.realpath(entry.path) != worktree.root:
            return None
    if now is not None:
        return f"worktree `{worktree.root}` was re-created" if worktree.file_id is not None else None
    if entries is None and worktree.repository is not None and os.path.lexists(worktree.repository):
        return None
    expected = None if worktree.file_id is None else worktree.file_id.device
    if expected is None or device_above(worktree.root) != expected:
        return None
    return f"worktree `{worktree.root}` is gone"
