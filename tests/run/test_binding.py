"""Whose death ends a run."""

from __future__ import annotations

import pytest

from devrun.errors import UsageError
from devrun.model import ProcessIdentity, ProcessRecord, ProcessSnapshot
from devrun.run.binding import Launch, LauncherLostError, find_binding, is_wrapper, launching_chain, named_owner

NPM = ("npm run dev",)  # npm rewrites its title into one element


def record(pid, ppid, *argv, state="S"):
    return ProcessRecord(identity=ProcessIdentity(pid, pid * 10), ppid=ppid, argv=argv or None, state=state)


def snapshot(*records, self_pid=100):
    return ProcessSnapshot(records, self_pid=self_pid, boot_id="b")


def pids(identities):
    return [each.pid for each in identities]


def owner_is(*words):
    return lambda each: bool(each.argv) and each.argv[0] in words


@pytest.mark.parametrize(
    "argv",
    [
        ("sh", "-c", "devrun up"),
        ("/bin/bash", "-lc", "devrun up"),
        ("bash", "-e", "-c", "devrun up"),
        NPM,
        ("node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "run", "dev"),
        ("node", "/x/pnpm.cjs", "dev"),
        ("make", "dev"),
        ("uv", "run", "devrun", "up"),
        ("python3.11", "/x/bin/poetry", "run", "devrun"),
    ],
)
def test_a_program_that_only_runs_another_is_a_wrapper(argv):
    assert is_wrapper(argv)


@pytest.mark.parametrize(
    "argv", [(), ("",), ("-zsh",), ("bash",), ("bash", "script.sh"), ("node", "server.js"), ("claude",), ("python",)]
)
def test_a_shell_at_a_prompt_a_script_or_the_unknown_is_no_wrapper(argv):
    assert not is_wrapper(argv)


def test_the_chain_ends_with_the_first_that_is_no_wrapper():
    table = snapshot(
        record(100, 99, "devrun"),
        record(99, 98, "sh", "-c", "devrun up"),
        record(98, 97, *NPM),
        record(97, 96, "-zsh"),
        record(96, 1, "terminal"),
    )
    assert pids(launching_chain(table.lineage(100))) == [99, 98, 97]


def test_init_is_never_part_of_the_chain():
    table = snapshot(record(100, 99, "devrun"), record(99, 1, "sh", "-c", "devrun up"), record(1, 0, "init"))
    assert pids(launching_chain(table.lineage(100))) == [99]


def test_under_nohup_the_launchers_do_not_count():
    table = snapshot(record(100, 99, "devrun"), record(99, 1, "-zsh"))
    binding = find_binding(table, Launch(hangup_ignored=True), is_owner=owner_is())
    assert binding.watched == ()


def test_a_run_in_the_background_of_a_script_leans_on_its_owner_alone():
    table = snapshot(
        record(100, 99, "devrun"),
        record(99, 98, "bash", "-c", "devrun up &"),
        record(98, 1, "agent"),
    )
    binding = find_binding(table, Launch(interrupt_ignored=True), is_owner=owner_is("agent"))
    assert pids(binding.watched) == [98]


def test_without_a_recognised_owner_the_launchers_count_after_all():
    table = snapshot(record(100, 99, "devrun"), record(99, 98, "bash", "-c", "devrun up &"), record(98, 1, "bash"))
    binding = find_binding(table, Launch(interrupt_ignored=True), is_owner=owner_is("agent"))
    assert pids(binding.watched) == [99, 98]


def test_a_detached_run_is_bound_to_its_owner_only():
    table = snapshot(record(100, 99, "devrun"), record(99, 98, *NPM), record(98, 1, "agent"))
    binding = find_binding(table, Launch(detached=True), is_owner=owner_is("agent"))
    assert pids(binding.watched) == [98]


def test_a_launcher_that_has_ended_already_ends_the_start():
    table = snapshot(record(100, 1, "devrun"), record(1, 0, "init"))
    with pytest.raises(LauncherLostError):
        find_binding(table, Launch(is_orphaned=True), is_owner=owner_is())


@pytest.mark.parametrize(
    "launch", [Launch(hangup_ignored=True, is_orphaned=True), Launch(detached=True, is_orphaned=True)]
)
def test_where_launchers_do_not_count_they_may_have_ended(launch):
    table = snapshot(record(100, 1, "devrun"), record(1, 0, "init"))
    assert find_binding(table, launch, is_owner=owner_is()).watched == ()


def test_a_cycle_of_parents_ends():
    table = snapshot(record(100, 99, "devrun"), record(99, 100, *NPM))
    assert pids(launching_chain(table.lineage(100))) == [99]


@pytest.mark.parametrize("pid", [-1, 0, 1, 55])
def test_an_owner_that_does_not_live_is_refused(pid):
    table = snapshot(record(100, 1, "devrun"), record(1, 0, "init"))
    with pytest.raises(UsageError):
        named_owner(pid, table)


def test_a_zombie_owns_nothing():
    with pytest.raises(UsageError):
        named_owner(50, snapshot(record(50, 1, "agent", state="Z")))
