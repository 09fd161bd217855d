"""Clear one worktree of its servers, before or after its folder is gone.

A live run of it is asked to end first, and gets the time it needs; what is left then is stopped.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from devrun.cleanup.joint import carry_out, journal, known_runs
from devrun.cleanup.monitors import find_monitors
from devrun.cleanup.values import GRACE, Skipped, SweepReport
from devrun.config.load import find_config
from devrun.config.project import SweepSettings
from devrun.decide.classify import decide
from devrun.decide.context import Context, KnownRun
from devrun.errors import ConfigError, DevrunError, NotARepositoryError
from devrun.model import KillPlan, Liveness, ProcessIdentity, Situation, Worktree
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.columns import Column
from devrun.system.control import Handle, SystemControl, wait_for_one
from devrun.system.execute import drive
from devrun.system.processes import has_ended
from devrun.worktrees.locate import locate, root_now
from devrun.worktrees.patterns import Patterns
from devrun.worktrees.survey import Survey, make_places

RUN_MARGIN = 4.0
"""Seconds a live run may take beyond the grace to end by itself: its keeper steps in after two."""

_KNOWN = "`devrun ports --all` shows those that devrun knows"


def reap(
    state: State,
    path: str,
    *,
    worktree: Worktree | None = None,
    settings: SweepSettings | None = None,
    is_named: bool = False,
    dry_run: bool = False,
    grace: float = GRACE,
) -> SweepReport:
    """Reap the worktree at `path` (`worktree` when the caller knows it) and wait for the end of it.

    `is_named` says that somebody wrote the path: then it is that of a worktree, not of a folder in one.
    """
    settings = SweepSettings() if settings is None else settings
    if worktree is None:
        worktree = worktree_at(state, path, patterns=settings.paths, is_named=is_named)
    runs = known_runs(state)
    survey = Survey(Column.CWD | Column.ENVIRONMENT)
    places = make_places(
        state,
        runs=[known.record for known in (runs or {}).values()],
        worktree=worktree,
        patterns=settings.paths,
        deadline=time.monotonic() + settings.budget,
    )

    def read(survey: Survey) -> Context:
        sockets = find_monitors(survey, places)
        survey.look_closely([*_inside(survey, worktree), *(who.pid for who in sockets)], places)
        return Context(
            situation=Situation.REAP,
            snapshot=survey.snapshot,
            uid=survey.uid,
            state_dir=state.path,
            runs=runs,
            surroundings=survey.surroundings,
            worktree=worktree,
            runtimes=frozenset(settings.runtimes),
            sockets=sockets,
        )

    context = read(survey)
    plan = decide(context)
    skipped = tuple(Skipped(what, why) for what, why in places.problems)
    if dry_run:
        return SweepReport(plan=plan, skipped=skipped)
    live = [known for known in (runs or {}).values() if context.is_reaped(known) and known.liveness is Liveness.LIVE]
    if live:
        _end_runs(live, survey, grace)
        plan = _judged_again(plan, decide(read(Survey(Column.CWD | Column.ENVIRONMENT))))
    deadline = time.monotonic() + grace
    results = drive(
        carry_out(plan, deadline=deadline, rescan=lambda: decide(read(Survey(Column.CWD | Column.ENVIRONMENT))))
    )
    plan = KillPlan(steps=tuple(each.step for each in results), spared=plan.spared)
    journal(state, "reap", results)
    return SweepReport(plan=plan, results=results, skipped=skipped)


def worktree_at(state: State, path: str, *, patterns: Iterable[str] = (), is_named: bool = False) -> Worktree:
    """Return the worktree at `path`, which may be gone: then by its lease, else by the path alone.

    A folder that is there, outside git, is one by its lease or its configuration: a home folder is
    none, though a lot of servers stand in it.  Nor is a folder in a worktree that worktree, where somebody
    named it (`is_named`) instead of standing in it: what git has forgotten, or a watcher made again where
    one was, lies in another, often in the main checkout.  By habit, or by `patterns`, it is one that is
    gone.  Raises NotARepositoryError.
    """
    root = os.path.realpath(path)
    found = locate(root) if os.path.isdir(root) else None
    if found is not None and found.repository is not None and found.root == root:
        return found
    lease = _lease_of(state, root)
    if lease is not None:
        return Worktree(
            root=root,
            identity=lease.identity,
            repository=lease.repository,
            is_main=lease.is_main,
            slug=lease.slug,
            file_id=lease.file_id,
        )
    if found is None:
        return _gone(root, _repository_around(root))
    if found.repository is None:
        found = _project_at(root)
    habit = Patterns(patterns).root_of(root)
    if habit is not None and habit.startswith(f"{found.root}/"):
        return _gone(habit, found.repository)
    if is_named and found.root != root:
        raise NotARepositoryError(f"`{root}` is no worktree, it lies in `{found.root}`", hint=_KNOWN)
    return found


def _gone(root: str, repository: str | None) -> Worktree:
    return Worktree(root=root, identity="", repository=repository, is_main=False, slug="gone")


def _project_at(folder: str) -> Worktree:
    """Return the worktree outside git that the configuration in, or above, a folder makes."""
    try:
        return locate(os.path.dirname(find_config(folder).path))
    except ConfigError as error:
        raise NotARepositoryError(
            f"`{folder}` is no worktree: neither under git nor with a services.yaml",
            hint=_KNOWN,
        ) from error


def _lease_of(state: State, root: str) -> Lease | None:
    """Return the lease of the worktree that stood at `root` last, not of one that was moved away."""
    leases = (lease for lease in state.leases.all() if lease.root == root)
    return next((lease for lease in leases if root_now(lease.identity, root) == root), None)


def _repository_around(root: str) -> str | None:
    """Return the repository a removed worktree may have belonged to: the one around it, or around this process."""
    above = os.path.dirname(root)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    for start in (above, "."):
        try:
            found = locate(start).repository
        except (DevrunError, OSError):
            continue
        if found is not None:
            return found
    return None


def _inside(survey: Survey, worktree: Worktree) -> list[int]:
    """Return who stands in the folder by its path, or carries a stamp: the innermost worktree is asked for later."""
    found = []
    for pid in survey.own_pids:
        record = survey.snapshot.get(pid)
        if record is None:
            continue
        path = None if record.cwd is None else record.cwd.path
        inside = path is not None and (path == worktree.root or path.startswith(worktree.root.rstrip("/") + "/"))
        if inside or record.stamp is not None:
            found.append(pid)
    return found


def _end_runs(live: list[KnownRun], survey: Survey, grace: float) -> None:
    """Ask the keepers of live runs to end (the supervisor of one that is a container's init), and wait for both."""
    control = SystemControl()
    asked: list[Handle] = []
    try:
        for known in live:
            is_asked = False
            for identity in (known.record.keeper, known.record.supervisor):
                handle = _open(control, identity, survey)
                if handle is None:
                    continue
                if not is_asked:
                    is_asked = True
                    handle.send(signal.SIGTERM)
                    handle.send(signal.SIGCONT)  # Ctrl-Z may have stopped it
                asked.append(handle)
        until = time.monotonic() + grace + RUN_MARGIN
        while (left := tuple(each for each in asked if not each.is_gone())) and time.monotonic() < until:
            wait_for_one(left, until)
    finally:
        for handle in asked:
            handle.close()


def _judged_again(plan: KillPlan, now: KillPlan) -> KillPlan:
    """Return the plan of a moment ago as it stands now: the end of a run takes seconds, and nobody waited for it.

    Who has ended meanwhile keeps the row; who is judged otherwise by now is spared.
    """
    still = {each.record.identity for each in now.steps}
    steps = [each for each in plan.steps if each.record.identity in still or has_ended(each.record.identity)]
    known = {each.record.identity for each in steps}
    steps += [each for each in now.steps if each.record.identity not in known]
    spared = {each.record.identity: each for each in (*plan.spared, *now.spared)}
    return KillPlan(steps=tuple(steps), spared=tuple(spared.values()))


def _open(control: SystemControl, identity: ProcessIdentity | None, survey: Survey) -> Handle | None:
    if identity is None or identity.pid in (1, survey.snapshot.self_pid):
        return None
    return control.open(identity)
