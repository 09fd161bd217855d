"""What `devrun doctor` looks at: one function a complaint, one row a function.  Only reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from shlex import quote

from msgspec import Struct

from devrun.cleanup.spinning import find_spinning
from devrun.cleanup.values import ERROR, INFO, Finding, SweepReport
from devrun.config.project import Project
from devrun.model import Liveness, Worktree
from devrun.state import State
from devrun.state.folder import is_read_only, network_file_system, read_only
from devrun.system.columns import Column
from devrun.system.sockets import listeners_on
from devrun.worktrees.listing import list_worktrees
from devrun.worktrees.survey import Survey


class Patient(Struct, frozen=True):
    """What is looked at; `worktree` and `project` are None where there is none."""

    state: State
    survey: Survey
    swept: SweepReport
    worktree: Worktree | None = None
    project: Project | None = None


def diagnose(patient: Patient) -> tuple[Finding, ...]:
    """Return every finding, in the order of the rows below."""
    patient.survey.fill(patient.survey.own_pids, Column.CWD | Column.ENVIRONMENT)
    return tuple(finding for check in CHECKS for finding in check(patient))


def _undecided(patient: Patient) -> Iterator[Finding]:
    """What gave no answer: git, registries, folders of pid files."""
    for each in patient.swept.skipped:
        yield Finding(each.what, f"not looked at: {each.why}")


def _left_over(patient: Patient) -> Iterator[Finding]:
    """What the next sweep would stop, remove and give back."""
    swept = patient.swept
    if swept.plan.steps:
        count = len(swept.plan.steps)
        yield Finding(None, f"{count} process{'es are' if count > 1 else ' is'} left over", "`devrun sweep`")
    for file in swept.files:
        yield Finding(file.path, f"left over: {file.reason}", "`devrun sweep`")
    for lease in swept.leases:
        yield Finding(lease.worktree, f"is gone, and still has slot {lease.slot}", "`devrun sweep`")


def _suspects(patient: Patient) -> Iterator[Finding]:
    """Suspects without an owner: never stopped by devrun, so here is the command."""
    for each in patient.swept.spared:
        if each.reason == "suspect":
            hint = f"`kill {each.record.pid}` would stop it; others may share it"
            yield Finding(None, f"pid {each.record.pid} `{each.record.title}`: suspect without a live owner", hint)


def _stale_state(patient: Patient) -> Iterator[Finding]:
    """Records of runs that ended without a word, runs that cannot be told, folders that no record knows."""
    state = patient.state
    runs = state.runs.all()
    for run in runs:
        liveness = state.runs.liveness(run)
        if run.ended_at is None and liveness is Liveness.DEAD:
            yield Finding(run.worktree, f"run {run.id} ended without a word", "`devrun sweep`", INFO)
        elif liveness is Liveness.UNKNOWN:
            yield Finding(
                run.worktree, f"whether run {run.id} lives cannot be told", f"look at `{state.runs.folder(run.id)}`"
            )
    known = {run.id for run in runs}
    try:
        folders = sorted(set(os.listdir(os.path.join(state.path, "runs"))) - known)
    except OSError:
        folders = []
    for name in folders:
        words = "belongs to no run that is known; a sweep removes it when it is an hour old"
        yield Finding(state.runs.folder(name), words, severity=INFO)
    if is_read_only(state.path):
        error = read_only(os.path.join(state.path, "state.db"))
        yield Finding(state.path, error.message, error.hint, ERROR)
    kind = network_file_system(state.path)
    if kind is not None:
        hint = "`export DEVRUN_STATE_DIR=/path/on/a/local/disk`"
        yield Finding(state.path, f"is on a network file system ({kind}): locks are not sound there", hint, ERROR)


def _other_folders(patient: Patient) -> Iterator[Finding]:
    """Processes that a devrun with another state folder started: they are its own, and left alone here."""
    stamps = (record.stamp for record in patient.survey.snapshot)
    folders = Counter(each.state_dir for each in stamps if each is not None and each.state_dir != patient.state.path)
    for folder, count in sorted(folders.items()):
        plural = "es were" if count > 1 else " was"
        message = f"{count} process{plural} started by a devrun with this state folder, which is not the one in use"
        yield Finding(folder, message, f"`DEVRUN_STATE_DIR={quote(folder)} devrun ps --all`")


def _unreadable(patient: Patient) -> Iterator[Finding]:
    """Processes of this user whose folder or environment cannot be read: such are never stopped."""
    own = [record for pid in patient.survey.own_pids if (record := patient.survey.snapshot.get(pid)) is not None]
    for name, word in (("cwd", "folder"), ("environment", "environment")):
        hidden = [record for record in own if getattr(record, name) is None]
        if hidden:
            pids = ", ".join(str(record.pid) for record in hidden[:5]) + (", …" if len(hidden) > 5 else "")  # noqa: PLR2004
            count = f"{len(hidden)} of {len(own)} processes"
            yield Finding(
                None, f"the {word} of {count} cannot be read ({pids}): these are never stopped", severity=INFO
            )


def _git(patient: Patient) -> Iterator[Finding]:
    """Repositories whose worktrees git would not name."""
    told = {each.what for each in patient.swept.skipped}
    repository = None if patient.worktree is None else patient.worktree.repository
    if repository is None or repository in told:
        return
    view = list_worktrees(repository)
    if view.entries is None:
        yield Finding(repository, f"git does not say which worktrees there are: {view.problem}", "`git worktree list`")
        return
    for entry in view.entries:
        if entry.prunable is not None and entry.locked is None:
            hint = f"`devrun worktree remove {quote(entry.path)}`"
            yield Finding(entry.path, f"git lists it, and it is not there: {entry.prunable}", hint)


def _clashing_leases(patient: Patient) -> Iterator[Finding]:
    """Ports that several worktrees have: plain numbers of main checkouts, and `fixed` ones."""
    owners: dict[int, list[str]] = {}
    for lease in patient.state.leases.all():
        for port in {port for named in lease.ports.ports.values() for port in named.values()}:
            owners.setdefault(port, []).append(lease.root)
    groups: dict[tuple[str, ...], list[int]] = {}
    for port, shared_by in owners.items():
        if len(shared_by) > 1:
            groups.setdefault(tuple(sorted(shared_by)), []).append(port)
    for roots, ports in sorted(groups.items()):
        shared = ", ".join(map(str, sorted(ports)))
        message = (
            f"port{'s' if len(ports) > 1 else ''} {shared}: also of {', '.join(f'`{root}`' for root in roots[1:])}"
        )
        hint = "whoever starts first has them; `ports: {slot: 1}` in services.local.yaml moves one"
        yield Finding(roots[0], message, hint, INFO)


def _foreign_holders(patient: Patient) -> Iterator[Finding]:
    """Ports of this worktree that somebody holds while no run of it lives."""
    lease = None if patient.worktree is None else patient.state.leases.get(patient.worktree.identity)
    if lease is None or patient.state.runs.alive(lease.identity):
        return
    wanted = {port: service for service, named in lease.ports.ports.items() for port in named.values()}
    for port in sorted({each.port for each in listeners_on(wanted) or ()}):
        message = f"port {port} (`{wanted[port]}`) is held, and nothing of this worktree runs"
        yield Finding(lease.root, message, f"`devrun who {port}`, `devrun guard {wanted[port]} --dry-run`")


def _spinning(patient: Patient) -> Iterator[Finding]:
    """Losers of a port race that keep a core busy."""
    services = {} if patient.project is None else patient.project.services
    for each in find_spinning({name: service.match for name, service in services.items()}, survey=patient.survey):
        yield Finding(None, each.words, f"`devrun guard {each.service} --dry-run`")


def _configuration(patient: Patient) -> Iterator[Finding]:
    """Bases that alias, and names in `.env` that devrun sets itself: what `devrun check` says."""
    if patient.project is None:
        return
    from devrun.config.advice import advise

    for each in advise(patient.project):
        yield Finding(str(each.place or patient.project.file), each.message, each.hint)


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    _stale_state,
    _left_over,
    _undecided,
    _git,
    _foreign_holders,
    _clashing_leases,
    _spinning,
    _suspects,
    _other_folders,
    _configuration,
    _unreadable,
)
