"""Sweep and reap on real processes and real git; `tests.support.leftovers` says how tests keep apart."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

import msgspec
import psutil
import pytest

from devrun.cleanup import reap, sweep
from devrun.config.project import SweepSettings
from devrun.decide import matchers
from devrun.errors import NotARepositoryError
from devrun.model import Outcome, RunRecord
from devrun.state.runs import KEEPER_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id
from devrun.worktrees.locate import locate
from tests.support.devrun import devrun
from tests.support.leftovers import a_lease, a_lease_of_gone, executable_named, mine, nested, settings
from tests.support.processes import lives, wait_gone


def test_an_orphan_of_a_gone_worktree_is_stopped_and_its_bystanders_live(state, repository, server, bystander):
    path, live = nested(repository, "a"), nested(repository, "b")
    orphan, sibling = server(path), server(live)
    bystander(cwd=repository.path)
    repository.remove(path)
    report = sweep(state, dry_run=True, settings=settings(repository))
    assert mine(report, orphan, sibling) == {orphan.pid}
    assert lives(orphan.process)
    report = sweep(state, settings=settings(repository))
    assert mine(report, orphan, sibling) == {orphan.pid}
    assert not lives(orphan.process)
    assert lives(sibling.process)
    assert not mine(sweep(state, settings=settings(repository)), orphan)


def test_a_stamped_process_of_a_dead_run_is_stopped_wherever_it_went(state, repository, server, staged_run):
    run = staged_run("r1", repository.path)
    away, inside = server("/", stamp=run.stamp), server(repository.path, stamp=run.stamp)
    other = server("/", stamp={**run.stamp, "state_dir": "/elsewhere"})
    unknown = server("/", stamp={**run.stamp, "run": "r0"})
    assert not mine(sweep(state), away, inside, other, unknown)
    run.die()
    assert mine(sweep(state), away, inside, other, unknown) == {away.pid, inside.pid}
    assert lives(other.process)
    assert lives(unknown.process)


def test_the_lease_of_a_gone_worktree_is_released_and_no_other(state, repository):
    gone, stays, moved = repository.worktree("a"), repository.worktree("b"), repository.worktree("c")
    for slot, path in enumerate((gone, stays, moved), start=1):
        state.leases.put(a_lease(path, slot), {})
    repository.remove(gone)
    repository.git("worktree", "move", moved, moved + "-moved")
    dry = sweep(state, dry_run=True)
    assert [each.worktree for each in dry.leases] == [gone]
    assert len(state.leases.all()) == 3
    assert [each.worktree for each in sweep(state).leases] == [gone]
    assert {lease.root for lease in state.leases.all()} == {stays, moved}
    assert sweep(state).leases == ()


def test_a_repository_that_git_refuses_keeps_everything_and_is_named(state, repository, server):
    path = nested(repository, "a")
    orphan = server(path)
    repository.remove(path)
    os.rename(os.path.join(repository.path, ".git", "HEAD"), os.path.join(repository.path, ".git", "HEAD.off"))
    state.leases.put(a_lease_of_gone(path, repository), {})
    report = sweep(state, settings=settings(repository))
    assert not mine(report, orphan)
    assert lives(orphan.process)
    assert [each.what for each in report.skipped] == [os.path.join(repository.path, ".git")]


def test_the_docs_server_that_moved_home_is_stopped_before_its_lease_is_given_back(
    state, repository, server, monkeypatch, bystander
):
    """Above the tests there may be a person's shell or an agent: whoever is above the test counts as nobody here."""
    ours = {each.pid for each in psutil.Process().parents()} | {os.getpid()}
    asked = matchers.programs.kind
    monkeypatch.setattr(matchers.programs, "kind", lambda each: None if each.pid in ours else asked(each))
    gone, alive = repository.worktree("gone"), repository.worktree("alive")
    device = os.stat(repository.path).st_dev
    for slot, path in enumerate((gone, alive), start=1):
        state.leases.put(msgspec.structs.replace(a_lease(path, slot), parent_device=device), {})
    word = f"{repository.path}/mint/start.js"
    moved = "os.chdir('/'); ready(); rest()"
    guilty, sibling = (server(path, moved, word, env={"PWD": path}) for path in (gone, alive))
    other_word = server(gone, moved, "other.js", env={"PWD": gone})
    elsewhere = server(gone, moved, word, env={"PWD": gone, "INIT_CWD": alive})
    bystander(argv=[sys.executable, "-I", "-c", "import signal; signal.pause()", word], cwd="/")
    repository.remove(gone)
    everybody = (guilty, sibling, other_word, elsewhere)
    assert not mine(sweep(state, dry_run=True), *everybody)
    chosen = SweepSettings(matches=(word,))
    assert mine(sweep(state, settings=chosen, dry_run=True), *everybody) == {guilty.pid}
    report = sweep(state, settings=chosen)
    assert mine(report, *everybody) == {guilty.pid}
    (step,) = (each for each in report.plan.steps if each.record.pid == guilty.pid)
    assert step.reason == "started-in-gone"
    assert [each.worktree for each in report.leases] == [gone]
    assert all(lives(each.process) for each in (sibling, other_word, elsewhere))


def test_the_lease_of_a_worktree_on_a_volume_that_is_not_mounted_is_kept(state, repository):
    path = repository.worktree("a")
    lease = a_lease(path)
    state.leases.put(msgspec.structs.replace(lease, parent_device=lease.parent_device + 1), {})
    os.rename(path, path + "-unmounted")
    assert sweep(state).leases == ()
    assert [each.root for each in state.leases.all()] == [path]


def test_trash_inside_a_git_dir_and_predecessors_need_no_pattern(state, repository, server):
    """These are orphans to everybody: a sweep of another test may get them first."""
    trashed, emptied, again = (repository.worktree(name) for name in ("a", "b", "c"))
    orphans = [server(path) for path in (trashed, emptied, again)]
    trash = os.path.join(repository.path, ".git", "wt", "trash")
    os.makedirs(trash)
    os.rename(trashed, os.path.join(trash, "a"))
    os.rename(emptied, os.path.join(trash, "b"))
    shutil.rmtree(os.path.join(trash, "b"))
    repository.remove(again)
    repository.git("worktree", "add", "-q", again, "c")
    sweep(state)
    assert wait_gone(each.process for each in orphans) == []


def test_a_worktree_beside_its_repository_is_gone_by_the_pattern_of_the_configuration(
    state, repository, server, tmp_path
):
    gone, project = (os.path.join(tmp_path, "trees", name) for name in ("gone", "project"))
    orphan = server(repository.worktree("gone", gone))
    os.makedirs(os.path.join(project, "dist"))
    other = server(os.path.join(project, "dist"))
    repository.remove(gone)
    os.rmdir(os.path.join(project, "dist"))
    beside = SweepSettings(paths=(f"{tmp_path}/trees/*",))
    report = sweep(state, settings=beside, root=repository.path)
    assert mine(report, orphan, other) == {orphan.pid}
    assert lives(other.process)


def test_sixty_orphans_take_one_grace(state, repository, processes):
    path = nested(repository, "a")
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pids = []\n"
        "for n in range(59):\n"
        "    pid = os.fork()\n"
        "    if not pid: rest()\n"
        "    pids.append(pid)\n"
        "ready(pids=pids); rest()"
    )
    parent = processes.python(code, cwd=path, start_new_session=True)
    shutil.rmtree(path)
    started = time.monotonic()
    report = sweep(state, grace=1.0, settings=settings(repository))
    took = time.monotonic() - started
    results = [each for each in report.results if each.step.record.pid in {parent.pid, *parent.facts["pids"]}]
    assert took < sum(each.seconds for each in results)  # one after the other
    assert [each.outcome for each in results] == [Outcome.KILLED] * 60


def test_reap_before_the_folder_is_gone_stops_the_servers_of_this_worktree_only(state, repository, server, terminal):
    path = repository.worktree("a")
    inner = repository.worktree("x", os.path.join(path, ".claude", "worktrees", "x"))
    ours, theirs, other = server(path), server(inner), server(repository.path)
    shell = terminal(["bash", "--norc"], cwd=path)
    shell.type("echo here\n")
    shell.read_until("here")
    dry = reap(state, path, dry_run=True)
    assert {step.record.pid for step in dry.plan.steps} == {ours.pid}
    report = reap(state, path)
    assert [each.outcome for each in report.results] == [Outcome.TERMINATED]
    assert [lives(each) for each in (ours.process, theirs.process, other.process, shell.process)] == [
        False,
        True,
        True,
        True,
    ]
    assert reap(state, path).results == ()


def test_reap_after_the_folder_is_gone(state, repository, server, monkeypatch):
    path = repository.worktree("a")
    orphan, other = server(path), server(repository.path)
    repository.remove(path)
    monkeypatch.chdir(repository.path)
    report = reap(state, path)
    assert {each.step.record.pid for each in report.results} == {orphan.pid}
    assert lives(other.process)


def test_a_folder_that_is_no_worktree_is_not_reaped_whatever_stands_in_it(state, tmp_path, server):
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    (project / "sub").mkdir(parents=True)
    servers = [server(str(folder), "ready(); rest()") for folder in (home, project / "sub")]
    for folder in ("/", str(home), str(project)):
        with pytest.raises(NotARepositoryError, match="is no worktree"):
            reap(state, folder)
    (project / "services.yaml").write_text("services: {web: {command: x}}\n")
    report = reap(state, str(project / "sub"))
    assert [result.step.record.pid for result in report.results] == [servers[1].pid]
    assert lives(servers[0].process)


FORGOTTEN = {
    "made again by a watcher": lambda repository, path: (
        repository.remove(path),
        os.makedirs(os.path.join(path, "dist")),
    ),
    "without its .git": lambda _, path: os.unlink(os.path.join(path, ".git")),
}


@pytest.mark.parametrize("known", ["by its lease", "by a pattern", "no more"])
@pytest.mark.parametrize("how", FORGOTTEN)
def test_reap_of_a_folder_that_git_forgot_never_reaps_the_main_checkout_around_it(
    state, repository, server, bystander, how, known
):
    path, sibling = nested(repository, "a"), nested(repository, "b")
    if known == "by its lease":
        with state.writing():
            state.leases.put(a_lease(path), {})
    FORGOTTEN[how](repository, path)
    left = server(path)
    for folder in (repository.path, sibling):
        bystander(cwd=folder)
    if known == "no more":
        with pytest.raises(NotARepositoryError, match="is no worktree"):
            reap(state, path, is_named=True)
    else:
        rules = settings(repository) if known == "by a pattern" else None
        for is_named, stopped in ((True, {left.pid}), (False, set())):
            report = reap(state, path, settings=rules, is_named=is_named)
            assert {each.step.record.pid for each in report.results} == stopped
    assert lives(left.process) == (known == "no more")


def test_a_folder_in_a_worktree_is_not_reaped_by_its_name(state, repository, server):
    folder = os.path.join(repository.path, "a b")
    os.makedirs(folder)
    child = server(folder)
    for words in (("--dry-run",), (), ("--json",)):
        done = devrun("reap", folder, *words, cwd=repository.path)
        assert (done.returncode, f"`{folder}` is no worktree, it lies in `{repository.path}`" in done.stderr) == (
            2,
            True,
        )
        assert "hint: `devrun ports --all`" in done.stderr
    assert lives(child.process)
    assert devrun("reap", cwd=folder).returncode == 0
    assert not lives(child.process)


@pytest.mark.parametrize("is_stopped", [False, True], ids=["", "stopped by Ctrl-Z"])
def test_reap_of_a_live_run_asks_its_keeper_first(state, repository, server, processes, is_stopped):
    path = repository.worktree("a")
    found = locate(path)
    from devrun.system.processes import identify

    stamp = {"run": "r1", "service": "web", "worktree": path, "state_dir": state.path}
    service = server(path, stamp=stamp)
    code = "signal.signal(signal.SIGTERM, lambda *_: (os.kill(int(sys.argv[1]), 15), os._exit(0)))\nready(); rest()"
    keeper = processes.python(code, str(service.pid), cwd="/")
    if is_stopped:
        keeper.process.send_signal(signal.SIGSTOP)
    with FileLock.take(os.path.join(state.runs.make_folder("r1"), KEEPER_LOCK)):
        record = RunRecord("r1", path, found.identity, identify(keeper.pid), None, boot_id(), time.time())
        state.runs.publish(record)
        report = reap(state, path)
    assert keeper.popen.wait(10) == 0
    assert {each.step.record.pid for each in report.results} == {service.pid}
    assert not report.survivors


def test_a_reap_judges_again_after_the_run_has_ended(state, repository, server, processes, tmp_path):
    path = repository.worktree("a")
    found = locate(path)
    from devrun.system.processes import identify

    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    editor = [
        executable_named(tmp_path, "vim"),
        "-I",
        "-c",
        "import sys, signal; open(sys.argv[1], 'w'); signal.pause()",
    ]
    becomes = f"signal.signal(signal.SIGUSR1, lambda *_: os.execv({editor[0]!r}, {[*editor, fifo]!r}))\nready(); rest()"
    child, other = server(path, becomes), server(path)
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: (os.kill(int(sys.argv[1]), signal.SIGUSR1), open(sys.argv[2]), os._exit(0)))\n"
        "ready(); rest()"
    )
    keeper = processes.python(code, str(child.pid), fifo, cwd="/")
    with FileLock.take(os.path.join(state.runs.make_folder("r1"), KEEPER_LOCK)):
        record = RunRecord("r1", path, found.identity, identify(keeper.pid), None, boot_id(), time.time())
        state.runs.publish(record)
        report = reap(state, path)
    assert keeper.popen.wait(10) == 0
    assert {each.step.record.pid for each in report.results} == {other.pid}
    assert [(each.record.pid, each.reason) for each in report.spared] == [(child.pid, "editor")]
    assert lives(child.process)
