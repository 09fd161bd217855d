"""The `data` of every `--json` answer, as types: what the JSON schemas are generated from (DESIGN.md section 9).

A key is never taken away or given another meaning; adding one is a new version of the program, not
of the format.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

State = Literal["waiting", "starting", "running", "ready", "stopping", "exited", "failed", "stopped"]


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """What all answers have in common: every key is named here."""


class ServiceRow(Answer, frozen=True):
    """A service as `ps` shows it.  `cpu` is per cent of one core now, `rss` bytes, both of the whole tree."""

    name: str
    state: State
    pid: int | None
    port: int | None
    url: str | None
    ready: bool
    restarts: int
    cpu: float | None
    rss: int | None


class RunRow(Answer, frozen=True):
    """A live run.  `pid` is its keeper's; `owner` the process whose death ends it; `since` is UTC, ISO 8601."""

    id: str
    pid: int | None
    supervisor: int | None
    since: str
    detached: bool
    owner: int | None


class Ps(Answer, frozen=True):
    """`ps`: one worktree; `ps --all` is a list of these."""

    worktree: str
    run: RunRow | None
    services: tuple[ServiceRow, ...]


class StartedRow(Answer, frozen=True):
    """A service of a run in the background."""

    name: str
    state: State
    port: int | None
    url: str | None
    ready: bool


class Up(Answer, frozen=True):
    """`up -d`."""

    status: Literal["started", "already_running"]
    run: str
    services: tuple[StartedRow, ...]


class Waited(Answer, frozen=True):
    """`wait`."""

    services: tuple[StartedRow, ...]


class OutcomeRow(Answer, frozen=True):
    """What became of a service: a state, or `unchanged`."""

    name: str
    outcome: State | Literal["unchanged"]


class Outcomes(Answer, frozen=True):
    """`down`, `stop`, `start`, `restart`."""

    services: tuple[OutcomeRow, ...]


class LogLine(Answer, frozen=True):
    """`logs --json`: one such object a line, without an envelope.  `time` is UTC, "" where it was lost."""

    time: str
    service: str
    stream: Literal["stdout", "stderr", "tty", "notice"]
    text: str


class Process(Answer, frozen=True):
    """A process row, the same everywhere."""

    pid: int | None
    command: str | None
    cwd: str | None
    worktree: str | None
    service: str | None
    action: Literal["stop", "spare", "report"]
    reason: str
    detail: str
    outcome: Literal["terminated", "killed", "gone", "survived"] | None


class GuardedRow(Answer, frozen=True):
    """A service whose way was looked at."""

    service: str
    ports: tuple[int, ...]
    processes: tuple[Process, ...]
    blocked: bool


class Guard(Answer, frozen=True):
    """`guard`."""

    services: tuple[GuardedRow, ...]


class SweptFile(Answer, frozen=True):
    """A file that stood for a process."""

    path: str
    action: str
    reason: str
    outcome: str | None


class SweptLease(Answer, frozen=True):
    """The lease of a worktree that is gone."""

    worktree: str
    slot: int
    action: str


class SkippedRow(Answer, frozen=True):
    """What could not be decided."""

    what: str
    why: str


class Sweep(Answer, frozen=True):
    """`sweep` and `reap`."""

    processes: tuple[Process, ...]
    files: tuple[SweptFile, ...]
    leases: tuple[SweptLease, ...]
    skipped: tuple[SkippedRow, ...]


class NamedPort(Answer, frozen=True):
    """A further port of a service."""

    port: int
    url: str


class PortRow(Answer, frozen=True, omit_defaults=True):
    """The ports of a service; `ports` are its named ones."""

    port: int | None
    url: str | None
    ports: dict[str, NamedPort] = {}


class Ports(Answer, frozen=True):
    """`ports`; `ports --all` is a list of these."""

    worktree: str
    slot: int
    offset: int
    services: dict[str, PortRow]


class Port(Answer, frozen=True):
    """`port`."""

    service: str
    name: str | None
    port: int


class Url(Answer, frozen=True):
    """`url`."""

    service: str
    name: str | None
    url: str


class WorktreeRow(Answer, frozen=True):
    """`worktree add`; `worktree list` is a list of these."""

    path: str
    branch: str | None
    slot: int | None
    run: str | None
    ports: dict[str, int]
    rss: int | None


class Removed(Answer, frozen=True):
    """`worktree remove`: the rows of its clean-up, and what else was done."""

    path: str
    removed: bool
    runs: tuple[str, ...]
    processes: tuple[Process, ...]
    files: tuple[SweptFile, ...]
    leases: tuple[SweptLease, ...]
    skipped: tuple[SkippedRow, ...]
    problems: tuple[str, ...]


class Who(Answer, frozen=True):
    """`who`; a holder that cannot be seen has a row without a pid."""

    port: int
    holders: tuple[Process, ...]


class HistoryRow(Answer, frozen=True):
    """A row of `history`: a process row with its time (UTC, ISO 8601) and the devrun command that did it.

    Files, leases and worktrees have rows without a pid.
    """

    time: str
    verb: str
    pid: int | None
    command: str | None
    cwd: str | None
    worktree: str | None
    service: str | None
    action: Literal["stop", "spare", "report", "release", "remove", "keep"] | None
    reason: str | None
    detail: str | None
    outcome: str | None


class Problem(Answer, frozen=True):
    """Something wrong in the configuration."""

    where: str | None
    message: str
    hint: str | None
    severity: Literal["error", "warning", "info"]


class Check(Answer, frozen=True):
    """`check`."""

    problems: tuple[Problem, ...]


class Finding(Answer, frozen=True):
    """Something the doctor found."""

    where: str | None
    message: str
    hint: str | None
    severity: Literal["error", "warning", "info"]


class Doctor(Answer, frozen=True):
    """`doctor`: findings, whom a sweep would stop, whom it leaves and why."""

    problems: tuple[Finding, ...]
    would_stop: tuple[Process, ...]
    spared: tuple[Process, ...]


class Init(Answer, frozen=True):
    """`init`."""

    path: str
    services: tuple[str, ...]
    text: str


class Failure(Answer, frozen=True):
    """Any command that failed: kind `error`."""

    message: str
    hint: str | None
    where: str | None
    code: int


class VerbRow(Answer, frozen=True):
    """A command, for programs."""

    name: str
    effect: Literal["read", "write", "destructive"]
    help: str
    description: str
    examples: tuple[str, ...]
    arguments: tuple[dict[str, Any], ...]


class Help(Answer, frozen=True):
    """`help`."""

    verbs: tuple[VerbRow, ...]
    exit_codes: dict[str, str]


class Completion(Answer, frozen=True):
    """`completion SHELL`."""

    shell: str
    script: str


class Names(Answer, frozen=True):
    """`completion --services`."""

    services: tuple[str, ...]
