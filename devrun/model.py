"""The values every room speaks: who a process is, what is known of it, what is decided about it.

One file on purpose, although a long one: these are the words of the house.  Imports no room.  Values
only: frozen, without behaviour that touches the machine.  Every fact of a `ProcessRecord` is
`T | None`, and `None` means "not read or not readable", never "empty"; a decision treats it as a
reason to spare the process.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct


class ProcessIdentity(NamedTuple):
    """A process, for as long as this boot lasts: its pid and the kernel's start token.

    The token is field 22 of /proc/PID/stat on Linux (clock ticks since boot, proc(5)) and the
    kernel record's start time elsewhere.  A pid alone is never a target: pids are re-used.
    """

    pid: int
    start_token: int


class FileId(NamedTuple):
    """A file or folder by device and inode: the same path may be another folder tomorrow."""

    device: int
    inode: int


class Stamp(Struct, frozen=True):
    """The four variables every service carries in its environment."""

    run: str
    service: str
    worktree: str
    state_dir: str


STAMP_VARIABLES = ("DEVRUN_RUN", "DEVRUN_SERVICE", "DEVRUN_WORKTREE", "DEVRUN_STATE_DIR")
"""The names of the four, in the order of the fields of `Stamp`."""


class Cwd(Struct, frozen=True):
    """The current working directory of a process.

    `deleted` is the kernel's own word (the raw link ends in ` (deleted)`); `path` is without that
    suffix.  `file_id` is the folder the process really stands in, `None` when it could not be read.
    """

    path: str
    deleted: bool
    file_id: FileId | None = None


class ProcessEnvironment(Struct, frozen=True):
    """devrun's own keys of an environment, and the two paths that say where a process was started.

    The rest of an environment may hold secrets and is never kept.
    """

    stamp: Stamp | None = None
    pwd: str | None = None
    init_cwd: str | None = None


class ProcessRecord(Struct, frozen=True):
    """One row of the process table.  `None` is "unknown" and counts for the process.

    The first block is read for everybody; the second only for candidates (`read_details`).
    `tty` is a device number, 0 for none.  `started_at` is wall-clock seconds, good for comparing
    with file times and for showing an age, never for identity.
    """

    identity: ProcessIdentity
    ppid: int | None = None
    pgid: int | None = None
    sid: int | None = None
    tty: int | None = None
    uid: int | None = None
    state: str | None = None
    name: str | None = None
    cpu_seconds: float | None = None
    rss: int | None = None
    started_at: float | None = None

    argv: tuple[str, ...] | None = None
    exe: str | None = None
    script: str | None = None
    cwd: Cwd | None = None
    environment: ProcessEnvironment | None = None
    pid_namespace: int | None = None
    mount_namespace: int | None = None

    @property
    def pid(self) -> int:
        """The pid of the identity; never a target on its own."""
        return self.identity.pid

    @property
    def stamp(self) -> Stamp | None:
        """The stamp, when the environment could be read and carries one."""
        return None if self.environment is None else self.environment.stamp

    @property
    def title(self) -> str:
        """A short command line for people, or what else there is to call it by."""
        words = [word for word in self.argv or () if word]
        return short_command(words) if words else self.name or f"pid {self.pid}"

    @property
    def is_zombie(self) -> bool:
        """Dead already, only not yet waited for (kernel sense)."""
        return self.state == "Z"


def short_command(words: Sequence[str]) -> str:
    """Return a command line for people: base name and arguments, in one line of at most 80 characters."""
    line = " ".join(" ".join([words[0].rpartition("/")[2] or words[0], *words[1:]]).split())
    return line if len(line) <= 80 else line[:79] + "…"  # noqa: PLR2004 - a terminal's width


class Listener(Struct, frozen=True):
    """A listening TCP socket.  `pid` is `None` when the owner is not visible to this user."""

    port: int
    address: str
    pid: int | None = None


class ProcessSnapshot:
    """One reading of the process table, with the questions a decision asks of it.

    It is not atomic: a process may have ended, and its children may have been adopted, while it was
    read.  Parent links may form cycles; no method here loops on them.  `listeners` is `None` when
    the socket table could not be read.
    """

    __slots__ = ("_by_pid", "_children", "boot_id", "listeners", "self_pid")

    def __init__(
        self,
        records: Iterable[ProcessRecord],
        *,
        self_pid: int,
        boot_id: str,
        listeners: Iterable[Listener] | None = None,
    ) -> None:
        self._by_pid = {record.pid: record for record in records}
        self._children: dict[int, list[int]] | None = None
        self.self_pid = self_pid
        self.boot_id = boot_id
        self.listeners = None if listeners is None else tuple(listeners)

    def __iter__(self) -> Iterator[ProcessRecord]:
        return iter(self._by_pid.values())

    def __len__(self) -> int:
        return len(self._by_pid)

    def get(self, pid: int | None) -> ProcessRecord | None:
        """Return the record of `pid`, or None when the snapshot has no such process."""
        return None if pid is None else self._by_pid.get(pid)

    def find(self, identity: ProcessIdentity) -> ProcessRecord | None:
        """Return the record of exactly this process, not of a successor with its pid."""
        record = self._by_pid.get(identity.pid)
        return record if record is not None and record.identity == identity else None

    def children(self, pid: int) -> tuple[ProcessRecord, ...]:
        """Return the processes whose parent is `pid`."""
        if self._children is None:
            self._children = {}
            for record in self:
                if record.ppid is not None and record.ppid != record.pid:
                    self._children.setdefault(record.ppid, []).append(record.pid)
        return tuple(self._by_pid[child] for child in self._children.get(pid, ()))

    def descendants(self, pid: int) -> tuple[ProcessRecord, ...]:
        """Return everybody below `pid`, parents before their children, `pid` itself left out."""
        seen = {pid}
        found: list[ProcessRecord] = []
        frontier = [pid]
        while frontier:
            for child in self.children(frontier.pop(0)):
                if child.pid not in seen:
                    seen.add(child.pid)
                    found.append(child)
                    frontier.append(child.pid)
        return tuple(found)

    def lineage(self, pid: int) -> tuple[ProcessRecord, ...]:
        """Return `pid` and its ancestors, nearest first, as far as the snapshot knows them."""
        seen: set[int] = set()
        chain: list[ProcessRecord] = []
        record = self.get(pid)
        while record is not None and record.pid not in seen:
            seen.add(record.pid)
            chain.append(record)
            record = self.get(record.ppid)
        return tuple(chain)

    def session(self, sid: int) -> tuple[ProcessRecord, ...]:
        """Return the members of a session."""
        return tuple(record for record in self if record.sid == sid)


class Situation(enum.Enum):
    """Who asks.  Some vetoes hold only in some situations (DESIGN.md section 6)."""

    GUARD = "guard"
    GUARD_FORCE = "guard --force"
    SWEEP = "sweep"
    REAP = "reap"
    TEARDOWN = "teardown"


class Strength(enum.Enum):
    """What a piece of evidence is worth: a candidate needs a second one, a proof stands alone."""

    CANDIDATE = "candidate"
    HINT = "hint"
    PROOF = "proof"


class Evidence(Struct, frozen=True):
    """Why a process is ours to stop: the matcher that says so, and its words for people."""

    rule: str
    strength: Strength
    detail: str


class Veto(Struct, frozen=True):
    """Why a process stays: the rule that objects, and its words for people."""

    rule: str
    detail: str


class Verdict(enum.Enum):
    """What is to happen to a process."""

    STOP = "stop"
    SPARE = "spare"
    REPORT = "report"


class Classified(Struct, frozen=True):
    """A record with everything that was found for and against stopping it."""

    record: ProcessRecord
    verdict: Verdict
    reason: str
    detail: str
    evidence: tuple[Evidence, ...] = ()
    vetoes: tuple[Veto, ...] = ()
    service: str | None = None
    worktree: str | None = None


class KillPlan(Struct, frozen=True):
    """The only thing the executor accepts.  `steps` are deepest first; nobody is in it twice."""

    steps: tuple[Classified, ...] = ()
    spared: tuple[Classified, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nobody would be stopped."""
        return not self.steps


class Outcome(enum.Enum):
    """How a step of a plan ended."""

    ALREADY_GONE = "gone"
    TERMINATED = "terminated"
    KILLED = "killed"
    SURVIVED = "survived"


class StepResult(Struct, frozen=True):
    """A step of a plan with its end.  `seconds` is from the first signal to the confirmed end."""

    step: Classified
    outcome: Outcome
    seconds: float = 0.0


class Liveness(enum.Enum):
    """Of a run: its locks prove it live or dead; anything that could not be probed is unknown."""

    LIVE = "live"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Worktree(Struct, frozen=True):
    """A checkout that services run in.

    `identity` is its git dir (survives branch switch and move), outside git the real path.
    `repository` is the common git dir, `None` outside git.  `slug` is `[a-z0-9][a-z0-9_-]*`.
    """

    root: str
    identity: str
    repository: str | None
    is_main: bool
    slug: str
    branch: str | None = None
    file_id: FileId | None = None


class Folder(enum.Enum):
    """What became of the very folder a process stands in."""

    PRESENT = "present"
    DELETED = "deleted"


class Surroundings(Struct, frozen=True):
    """A folder, and what is known of the innermost worktree around it.

    `root` is that worktree's top, `None` when the folder is in no worktree that is known.  `live`:
    git lists a worktree at `root` and there is a checkout; `None` when the live set is unknown.
    `root_id`: the very folder at `root` now, which may have another path, too (a bind mount).
    `predecessor`: the checkout at `root` was made after the process started (or the process stands
    in the folder that was `root` before).  `known`: `root` is under a lease or a pattern.
    `in_trash`: `root` was moved into a folder inside a git dir.  `repository_gone`: the whole
    repository was deleted, confirmed on the device that was recorded for it.
    """

    path: str
    folder: Folder | None = None
    root: str | None = None
    identity: str | None = None
    repository: str | None = None
    root_id: FileId | None = None
    live: bool | None = None
    predecessor: bool | None = None
    known: bool = False
    leased: bool = False
    in_trash: bool | None = None
    has_checkout: bool | None = None
    repository_gone: bool | None = None
    problem: str | None = None


class PortSet(Struct, frozen=True):
    """The ports of one worktree: its slot, its offset, and per service name → port.

    The key `""` of an inner mapping is the service's own port (`PORT`); others are named ports.
    """

    slot: int
    offset: int
    ports: Mapping[str, Mapping[str, int]]

    def port(self, service: str, name: str = "") -> int | None:
        """Return the port of `service`, or None when it has none of that name."""
        return self.ports.get(service, {}).get(name)


class PortBase(NamedTuple):
    """A port as the configuration names it, before the offset; `name` is "" for the service's own."""

    service: str
    name: str
    port: int
    fixed: bool = False

    def at(self, offset: int) -> int:
        """Return the port under an offset."""
        return self.port if self.fixed else self.port + offset


class RunRecord(Struct, frozen=True):
    """One `devrun up` as the state folder remembers it.

    `groups` are the anchors of its services: identity of each session leader by service name.
    `folder` is the worktree's when the run began: another one in its place is another worktree.
    `taken`: it runs on the main checkout's plain ports.
    """

    id: str
    worktree: str
    worktree_identity: str
    keeper: ProcessIdentity | None
    supervisor: ProcessIdentity | None
    boot_id: str
    started_at: float
    detached: bool = False
    owner: ProcessIdentity | None = None
    socket: str | None = None
    groups: Mapping[str, ProcessIdentity] = {}
    stopping_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    folder: FileId | None = None
    taken: bool = False
