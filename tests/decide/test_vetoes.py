"""The veto × situation table, row by row: where a protection holds, and that its reason is reported."""

from __future__ import annotations

import msgspec
import pytest

from devrun.decide.classify import classify, decide
from devrun.decide.context import Target
from devrun.decide.vetoes import VETOES
from devrun.model import Listener, Liveness, ProcessEnvironment, ProcessSnapshot, Situation
from tests.support.decisions import (
    GONE_PLACE,
    HERE,
    LIVE_HERE,
    LIVE_SIBLING,
    SELF,
    SHELL_ABOVE,
    a_context,
    a_process,
    a_program,
    a_run,
    identity,
    ourselves,
    stamped,
)

GUARD, FORCE, SWEEP = Situation.GUARD, Situation.GUARD_FORCE, Situation.SWEEP
REAP, TEARDOWN = Situation.REAP, Situation.TEARDOWN
EVERYWHERE = tuple(Situation)
PORT = (Listener(3000, "::", 200),)


def guilty_context(record, situation, **facts):
    """Put `record` where nothing but the veto under test can save it: convicted in every situation."""
    place = {GUARD: LIVE_HERE, FORCE: LIVE_HERE, SWEEP: GONE_PLACE, REAP: LIVE_HERE, TEARDOWN: LIVE_HERE}[situation]
    known = {"situation": situation, "default_place": place, "listeners": PORT}
    return a_context(record, **{**known, **facts})


def verdict(record, situation, **facts):
    plan = decide(guilty_context(record, situation, **facts))
    rows = {each.record.pid: each for each in (*plan.steps, *plan.spared)}
    return rows[record.pid].verdict.value, rows[record.pid].reason


def below_us(**facts):
    return a_process(200, ppid=SELF, **facts)


@pytest.mark.parametrize("situation", EVERYWHERE)
def test_without_a_veto_it_is_stopped_everywhere(situation):
    assert verdict(below_us(), situation)[0] == "stop"


CLAUDE = "/x/node_modules/@anthropic-ai/claude-code/cli.js"
EVERYWHERE_ROWS = [
    ("other-user", {"uid": 0}),
    ("other-user", {"uid": None}),
    ("other-namespace", {"pid_namespace": 99}),
    ("other-namespace", {"mount_namespace": 99}),
    ("devrun", {"argv": ("python", "/venv/bin/devrun", "up"), "script": "/venv/bin/devrun"}),
    ("devrun", {"argv": ("python", "-m", "devrun", "up"), "script": None}),
    ("container", {"argv": ("docker-proxy",), "exe": "/usr/bin/docker-proxy", "script": None}),
    ("container", {"argv": ("containerd-shim",), "exe": "/usr/bin/containerd-shim-runc-v2", "script": None}),
    ("forward", {"argv": ("ssh", "-NL", "3000:db:3000", "host"), "exe": "/usr/bin/ssh", "script": None}),
    ("live-run", {"environment": stamped("live")}),
    ("live-run", {"environment": stamped("unsure")}),
    ("other-state", {"environment": stamped("dead", state="/elsewhere")}),
    ("unknown-run", {"environment": stamped("forgotten")}),
    ("shared-daemon", {"argv": ("watchman",), "exe": "/usr/bin/watchman", "script": None}),
    ("shared-daemon", {"argv": ("java", "org.gradle.launcher.daemon.bootstrap.GradleDaemon"), "exe": "/usr/bin/java"}),
    ("editor", {"argv": ("nvim", "server.js"), "exe": "/usr/bin/nvim", "script": None}),
    ("editor", {"argv": ("node", "/x/typescript-language-server", "--stdio")}),
    ("debugger", {"argv": ("gdb", "--args", "node", "server.js"), "exe": "/usr/bin/gdb", "script": None}),
    ("browser", {"argv": ("chrome", "server.js"), "exe": "/opt/google/chrome/chrome", "script": None}),
    ("gui", {"argv": ("Figma", "server.js"), "exe": "/Applications/Figma.app/Contents/MacOS/Figma", "script": None}),
    ("terminal", {"argv": ("tmux: server",), "exe": "/usr/bin/tmux", "script": None}),
    ("agent", {"argv": ("node", CLAUDE, "server.js"), "script": CLAUDE}),
    ("agent", {"argv": ("claude", "server.js"), "exe": "/home/me/.local/share/claude/versions/2.0.1", "script": None}),
]


@pytest.mark.parametrize("situation", EVERYWHERE)
@pytest.mark.parametrize(("reason", "facts"), EVERYWHERE_ROWS)
def test_these_stay_in_every_situation(reason, facts, situation):
    assert verdict(below_us(**facts), situation) == ("spare", reason)


@pytest.mark.parametrize("known", [{}, {"pid_namespace": 99}, {"mount_namespace": 99}])
@pytest.mark.parametrize("hidden", [{"pid_namespace": None}, {"mount_namespace": None}])
@pytest.mark.parametrize("situation", EVERYWHERE)
def test_who_hides_its_namespaces_stays_unless_it_is_of_our_own_tree(situation, hidden, known):
    found = verdict(below_us(**{**known, **hidden}), situation)
    lives_elsewhere = any({**known, **hidden}.values())
    assert found[0] == ("stop" if situation is TEARDOWN and not lives_elsewhere else "spare")
    assert found[0] == "stop" or found[1] == "other-namespace"


@pytest.mark.parametrize("situation", EVERYWHERE)
@pytest.mark.parametrize("exe", ["/usr/bin/vim", "/usr/bin/tmux", "/usr/bin/firefox", "/usr/bin/claude", "/bin/zsh"])
def test_the_stamp_lifts_no_protection(exe, situation):
    record = a_program(exe, ppid=SELF, environment=stamped("mine", worktree=HERE), tty=5)
    runs = {"mine": a_run("mine", a_dead_or_mine(situation), worktree=HERE, worktree_identity="/repo/.git")}
    assert verdict(record, situation, runs=runs, run="mine")[0] == "spare"


def a_dead_or_mine(situation):
    from devrun.model import Liveness

    return Liveness.LIVE if situation in (TEARDOWN, GUARD, FORCE) else Liveness.DEAD


@pytest.mark.parametrize("situation", [GUARD, FORCE, SWEEP, REAP])
def test_a_shell_stays_whatever_it_runs(situation):
    assert verdict(a_program("/bin/sh", "-c", "node server.js", ppid=SELF), situation) == ("spare", "shell")


def test_a_teardown_stops_a_wrapper_shell_and_keeps_one_that_somebody_types_into():
    assert verdict(a_program("/bin/sh", "-c", "node server.js", ppid=SELF), TEARDOWN)[0] == "stop"
    assert verdict(a_program("/bin/bash", ppid=SELF, tty=5), TEARDOWN) == ("spare", "shell")


@pytest.mark.parametrize("situation", EVERYWHERE)
def test_a_live_sibling_worktree_stays(situation):
    plan = decide(guilty_context(below_us(), situation, default_place=LIVE_SIBLING))
    assert plan.is_empty
    if situation is not SWEEP:
        assert {each.reason for each in plan.spared if each.record.pid != SELF} <= {"live-worktree"}


@pytest.mark.parametrize("fact", ["argv", "exe", "cwd", "environment", "ppid", "sid", "tty", "state"])
@pytest.mark.parametrize("situation", [GUARD, FORCE, SWEEP, REAP])
def test_an_unreadable_fact_keeps_but_not_in_our_own_tree(fact, situation):
    record = msgspec.structs.replace(below_us(), **{fact: None})
    plan = decide(guilty_context(record, situation))
    assert plan.is_empty
    tree_member = msgspec.structs.replace(below_us(), **{fact: None}) if fact != "ppid" else below_us()
    assert verdict(tree_member, TEARDOWN)[0] == "stop"


@pytest.mark.parametrize("situation", [GUARD, FORCE, SWEEP, REAP])
def test_a_live_set_that_git_would_not_name_keeps(situation):
    place = msgspec.structs.replace(LIVE_HERE if situation is not SWEEP else GONE_PLACE, live=None)
    plan = decide(guilty_context(below_us(), situation, default_place=place))
    assert plan.is_empty


@pytest.mark.parametrize(
    ("situation", "expected"),
    [(GUARD, "stop"), (FORCE, "stop"), (SWEEP, "spare"), (REAP, "spare"), (TEARDOWN, "stop")],
)
def test_a_terminal_of_its_own_keeps_in_sweep_and_reap_only(situation, expected):
    assert verdict(below_us(tty=34817), situation)[0] == expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [(GUARD, "spare"), (FORCE, "stop"), (SWEEP, "spare"), (REAP, "spare"), (TEARDOWN, "stop")],
)
def test_no_dev_runtime_keeps_but_for_the_holder_of_a_forced_port(situation, expected):
    record = a_program("/usr/bin/thing", "server.js", ppid=SELF)
    assert verdict(record, situation)[0] == expected


def test_the_configuration_adds_runtimes():
    record = a_program("/usr/bin/thing", "server.js", ppid=SELF)
    assert verdict(record, SWEEP, runtimes=frozenset({"thing"}))[0] == "stop"


def test_the_stamp_of_a_dead_run_needs_no_runtime_and_replaces_location():
    record = a_program("/usr/bin/thing", environment=stamped("dead"))
    assert verdict(record, SWEEP, default_place=LIVE_SIBLING) == ("stop", "dead-run")


def test_a_stamp_of_one_worktree_does_not_convict_in_another():
    record = a_process(environment=stamped("dead"))
    assert verdict(record, SWEEP, default_place=LIVE_HERE) == ("spare", "live-worktree")


@pytest.mark.parametrize("situation", EVERYWHERE)
def test_we_and_our_ancestors_stay(situation):
    context = guilty_context(below_us(), situation)
    everybody = {each.identity: LIVE_HERE if situation is not SWEEP else GONE_PLACE for each in ourselves()}
    plan = decide(msgspec.structs.replace(context, surroundings={**context.surroundings, **everybody}))
    assert not {1, SHELL_ABOVE, SELF} & {step.record.pid for step in plan.steps}


def test_a_keeper_a_supervisor_and_an_anchor_of_a_live_run_stay():
    from devrun.model import Liveness

    for field in ({"keeper": identity(200)}, {"supervisor": identity(200)}, {"groups": {"web": identity(200)}}):
        runs = {"live": a_run("live", Liveness.LIVE, **field)}
        assert verdict(a_process(), SWEEP, runs=runs) == ("spare", "devrun")


def test_what_a_protected_stamped_program_started_stays():
    tmux = a_program("/usr/bin/tmux", environment=stamped("dead"))
    window = a_program("/bin/zsh", pid=201, ppid=200, tty=5, environment=stamped("dead"))
    server = a_process(202, ppid=201, environment=stamped("dead"))
    plan = decide(a_context(tmux, window, server, default_place=LIVE_SIBLING))
    assert {each.record.pid: each.reason for each in plan.spared} == {200: "terminal", 201: "shell", 202: "sheltered"}


def test_what_is_in_a_session_of_a_dead_run_is_the_service_itself_even_a_shell():
    from devrun.model import Liveness

    shell = a_program("/bin/sh", "-c", "node x", sid=150, environment=stamped("dead"))
    runs = {"dead": a_run("dead", Liveness.DEAD, groups={"web": identity(150)})}
    assert verdict(shell, SWEEP, runs=runs, default_place=LIVE_SIBLING)[0] == "stop"
    impostor = msgspec.structs.replace(shell, environment=ProcessEnvironment())
    assert verdict(impostor, SWEEP, runs=runs) == ("spare", "shell")


def test_whoever_descends_from_a_live_supervisor_stays_without_a_stamp():
    from devrun.model import Liveness

    supervisor = a_process(200, argv=("python", "x"), cwd=None)
    child = a_process(201, ppid=200)
    runs = {"live": a_run("live", Liveness.LIVE, supervisor=identity(200))}
    plan = decide(a_context(supervisor, child, runs=runs))
    assert {each.record.pid: each.reason for each in plan.spared}[201] == "live-run"


def test_a_forced_guard_stops_a_stranger_on_the_port_and_nobody_else():
    stranger, other = a_process(200), a_process(201)
    context = guilty_context(stranger, FORCE, default_place=None)
    far = msgspec.structs.replace(LIVE_SIBLING, repository="/else/.git", identity="/else/.git", root="/else")
    places = {each.identity: far for each in (stranger, other)}
    context = a_context(
        stranger, other, situation=FORCE, listeners=PORT, default_place=None, surroundings=places,
        target=Target("web", frozenset({3000}), "server.js", stop_foreign=True),
    )  # fmt: skip
    plan = decide(context)
    assert [step.record.pid for step in plan.steps] == [200]
    assert [(each.record.pid, each.reason) for each in plan.spared] == [(SELF, "self"), (201, "stranger")]


def test_every_row_names_where_it_holds():
    assert all(row.situations for row in VETOES)


def test_who_has_an_ancestor_without_a_parent_that_could_be_read_stays():
    child, above = a_process(200, ppid=201), a_process(201, ppid=None)
    found = {each.record.pid: each for each in classify(a_context(child, above))}
    assert [found[pid].reason for pid in (200, 201)] == ["unreadable", "unreadable"]


def test_where_this_devrun_is_not_in_the_table_nobody_is_stopped():
    context = a_context(a_process())
    others = [each for each in context.snapshot if each.pid != SELF]
    snapshot = ProcessSnapshot(others, self_pid=SELF, boot_id="boot")
    assert decide(msgspec.structs.replace(context, snapshot=snapshot)).is_empty


def test_a_teardown_spares_an_escaped_shell_with_a_terminal_and_who_stands_in_a_sibling_only():
    shell = a_program("/bin/sh", "-c", "node x", pid=200, ppid=SELF, tty=7)
    step, sibling, abroad = (a_process(pid, ppid=SELF) for pid in (201, 202, 203))
    step = msgspec.structs.replace(shell, identity=step.identity, tty=0)
    other = msgspec.structs.replace(LIVE_SIBLING, root="/other", identity="/other/.git", repository="/other/.git")
    places = {202: LIVE_SIBLING, 203: other}
    plan = decide(a_context(shell, step, sibling, abroad, situation=TEARDOWN, default_place=None, places=places))
    assert {each.record.pid for each in plan.steps} == {201, 203}
    assert {each.record.pid: each.reason for each in plan.spared} == {200: "shell", 202: "live-worktree"}


def test_a_session_of_a_dead_run_lifts_no_protection_of_who_is_older_than_it_or_keeps_another_run():
    environment, groups = stamped("dead"), {"web": identity(150)}
    older = a_program("/usr/bin/vim", pid=140, sid=150, environment=environment)
    keeper = a_process(200, sid=150, environment=environment)
    plain = a_process(201, sid=150, environment=environment)
    runs = {
        "dead": a_run("dead", Liveness.DEAD, groups=groups),
        "nested": a_run("nested", Liveness.LIVE, keeper=identity(200)),
    }
    plan = decide(a_context(older, keeper, plain, runs=runs))
    assert [each.record.pid for each in plan.steps] == [201]
    assert {each.record.pid: each.reason for each in plan.spared} == {140: "editor", 200: "devrun"}
