"""Evidence, row by row: what convicts, what is a candidate, what is only reported."""

from __future__ import annotations

import msgspec
import pytest

from devrun.decide.classify import classify, decide, gather
from devrun.decide.context import Target, Tree
from devrun.model import (
    Cwd,
    FileId,
    Folder,
    Listener,
    Liveness,
    ProcessEnvironment,
    Situation,
    Stamp,
    Strength,
    Surroundings,
    Verdict,
)
from tests.support.decisions import (
    GONE,
    GONE_PLACE,
    HERE,
    LIVE_HERE,
    LIVE_SIBLING,
    NOWHERE,
    REPOSITORY,
    SELF,
    SHELL_ABOVE,
    WORKTREE,
    a_context,
    a_process,
    a_program,
    a_run,
    identity,
    stamped,
)

GUARD, SWEEP, REAP, TEARDOWN = Situation.GUARD, Situation.SWEEP, Situation.REAP, Situation.TEARDOWN
PORT = (Listener(3000, "::", 200),)
QUIET = {"argv": ("node", "other.js"), "script": "/x/other.js"}


def row(context, pid=200):
    return next((each for each in classify(context) if each.record.pid == pid), None)


def test_the_stamp_of_a_dead_run_convicts_in_a_sweep():
    found = row(a_context(a_process(environment=stamped("dead")), default_place=NOWHERE))
    assert (found.verdict, found.reason, found.service) == (Verdict.STOP, "dead-run", "web")


def test_an_inherited_stamp_never_says_who_devrun_itself_is():
    context = a_context(default_place=None)
    records = [
        msgspec.structs.replace(each, environment=stamped("dead")) if each.pid == SELF else each
        for each in context.snapshot
    ]
    from devrun.model import ProcessSnapshot

    snapshot = ProcessSnapshot(records, self_pid=SELF, boot_id="boot")
    assert decide(msgspec.structs.replace(context, snapshot=snapshot)).is_empty


def test_a_folder_in_a_gone_worktree_convicts_in_a_sweep():
    assert row(a_context(a_process())).reason == "worktree-gone"


def test_a_process_whose_parent_is_init_is_no_orphan_for_that():
    assert row(a_context(a_process(ppid=1), default_place=NOWHERE)) is None


def test_a_left_over_folder_is_reported_and_convicts_with_a_stamp_only():
    place = msgspec.structs.replace(GONE_PLACE, folder=Folder.PRESENT)
    assert row(a_context(a_process(), default_place=place)).verdict is Verdict.REPORT
    plain = a_process(environment=ProcessEnvironment(stamp=Stamp("dead", "web", GONE, "/state"), pwd=GONE))
    assert row(a_context(plain, default_place=place)).verdict is Verdict.STOP


def test_a_deleted_sub_folder_of_a_live_worktree_is_reported():
    place = msgspec.structs.replace(LIVE_SIBLING, folder=Folder.DELETED, predecessor=False)
    found = row(a_context(a_process(), default_place=place))
    assert (found.verdict, found.reason) == (Verdict.REPORT, "folder-deleted")


@pytest.mark.parametrize("listeners", [PORT, ()], ids=["listening", "spinning"])
def test_a_stale_copy_is_stopped_with_and_without_a_listener(listeners):
    found = row(a_context(a_process(), situation=GUARD, default_place=LIVE_HERE, listeners=listeners))
    assert found.verdict is Verdict.STOP


def test_a_listener_alone_is_a_stranger():
    found = row(a_context(a_process(**QUIET), situation=GUARD, default_place=NOWHERE, listeners=PORT))
    assert (found.verdict, found.reason) == (Verdict.SPARE, "stranger")


def test_a_command_line_alone_is_a_stranger():
    found = row(a_context(a_process(), situation=GUARD, default_place=NOWHERE))
    assert (found.verdict, found.reason) == (Verdict.SPARE, "stranger")


def test_standing_here_alone_is_nobody_in_the_way():
    assert row(a_context(a_process(**QUIET), situation=GUARD, default_place=LIVE_HERE)) is None


def test_the_docs_server_that_moved_home_is_known_by_where_it_was_started():
    home = Surroundings("/home/me/.mintlify", Folder.PRESENT)
    record = a_process(environment=ProcessEnvironment(pwd=HERE))
    context = a_context(record, situation=GUARD, default_place=home, origins={identity(200): (LIVE_HERE,)})
    assert row(context).verdict is Verdict.STOP
    dotfiles = msgspec.structs.replace(LIVE_HERE, root="/home/me", identity="/home/me/.git", repository="/home/me/.git")
    assert row(msgspec.structs.replace(context, surroundings={identity(200): dotfiles})).verdict is Verdict.STOP


@pytest.mark.parametrize("script", ["/other/start.js", None, "/usr/lib/start.js"])
def test_the_server_of_another_repository_is_not_of_the_worktree_that_its_pwd_names(script):
    other = Surroundings("/other", Folder.PRESENT, "/other", "/other/.git", "/other/.git", live=True, has_checkout=True)
    record = a_process(environment=ProcessEnvironment(pwd=HERE), script=script, argv=("node", "start.js"))
    context = a_context(
        record,
        situation=GUARD,
        default_place=other,
        listeners=PORT,
        origins={identity(200): (LIVE_HERE,)},
        target=Target("web", frozenset({3000})),
    )
    assert (row(context).verdict, row(context).reason) == (Verdict.SPARE, "stranger")
    matched = msgspec.structs.replace(context, target=Target("web", match="start.js"))
    assert row(matched).verdict is (Verdict.STOP if script == "/usr/lib/start.js" else Verdict.SPARE)
    around = msgspec.structs.replace(other, path="/", root="/", identity="/.git", repository="/.git")
    assert row(msgspec.structs.replace(context, surroundings={identity(200): around})).verdict is Verdict.STOP


def test_this_worktree_is_known_by_its_folder_under_whatever_path():
    worktree = msgspec.structs.replace(WORKTREE, file_id=FileId(1, 2))
    mounted = Surroundings("/mnt", Folder.PRESENT, "/mnt", "/mnt/.git", "/mnt/.git", live=True, has_checkout=True)
    context = a_context(a_process(**QUIET), situation=GUARD, default_place=mounted, listeners=PORT, worktree=worktree)
    assert row(context).verdict is Verdict.SPARE
    same = msgspec.structs.replace(mounted, root_id=FileId(1, 2))
    assert row(msgspec.structs.replace(context, surroundings={identity(200): same})).verdict is Verdict.STOP


def test_the_siblings_docs_server_that_moved_home_lives():
    record = a_process(environment=ProcessEnvironment(pwd="/x"))
    for situation in (GUARD, Situation.GUARD_FORCE):
        context = a_context(
            record, situation=situation, default_place=NOWHERE, listeners=PORT, origins={identity(200): (LIVE_SIBLING,)}
        )
        assert (row(context).verdict, row(context).reason) == (Verdict.SPARE, "live-worktree")


def test_the_docs_server_that_moved_home_from_a_worktree_that_is_gone_is_stopped_by_its_match_only():
    record = a_process(environment=ProcessEnvironment(pwd=GONE))
    for situation in (GUARD, Situation.GUARD_FORCE):
        context = a_context(record, situation=situation, default_place=NOWHERE, origins={identity(200): (GONE_PLACE,)})
        assert row(context).verdict is Verdict.STOP
        assert "started-in-gone" in {each.rule for each in row(context).evidence}
        unknown = msgspec.structs.replace(GONE_PLACE, live=None)
        for origins in ((unknown,), (GONE_PLACE, LIVE_SIBLING), (LIVE_SIBLING,), ()):
            spared = msgspec.structs.replace(context, origins={identity(200): origins})
            assert row(spared).verdict is Verdict.SPARE
        for place in (LIVE_SIBLING, msgspec.structs.replace(LIVE_SIBLING, live=None, repository=None)):
            elsewhere = msgspec.structs.replace(context, surroundings={identity(200): place})
            assert row(elsewhere).verdict is Verdict.SPARE
    holder = a_context(
        record,
        situation=GUARD,
        default_place=NOWHERE,
        listeners=PORT,
        target=msgspec.structs.replace(context.target, match=None),
        origins={identity(200): (GONE_PLACE,)},
    )
    assert row(holder).reason == "stranger"


def test_contradicting_origins_are_no_hint():
    record = a_process(environment=ProcessEnvironment(pwd=HERE))
    elsewhere = msgspec.structs.replace(LIVE_HERE, root="/else", identity="/else/.git", repository="/else/.git")
    context = a_context(record, situation=GUARD, default_place=NOWHERE, origins={identity(200): (LIVE_HERE, elsewhere)})
    assert row(context).verdict is Verdict.SPARE


def test_a_parent_chain_inside_the_worktree_is_a_hint():
    parent = a_process(201, **QUIET)
    child = a_process(200, ppid=201, environment=ProcessEnvironment(pwd="/"))
    context = a_context(parent, child, situation=GUARD, places={201: LIVE_HERE}, default_place=NOWHERE)
    assert row(context).verdict is Verdict.STOP


def test_a_guard_stops_an_orphan_that_holds_its_port_and_leaves_other_orphans_to_the_sweep():
    orphan, other = a_process(200, **QUIET), a_process(201, **QUIET)
    plan = decide(a_context(orphan, other, situation=GUARD, listeners=PORT))
    assert [step.record.pid for step in plan.steps] == [200]


def test_a_guard_before_a_restart_stops_what_its_own_service_left_and_no_other_service():
    own = a_process(200, environment=stamped("mine", "web", HERE), **QUIET)
    other = a_process(201, environment=stamped("mine", "api", HERE))
    context = a_context(own, other, situation=GUARD, default_place=LIVE_HERE, run="mine")
    plan = decide(context)
    assert [step.record.pid for step in plan.steps] == [200]
    assert [(each.record.pid, each.reason) for each in plan.spared if each.record.pid != SELF] == [(201, "live-run")]


def test_a_reap_stops_every_server_of_the_worktree_and_what_carries_its_stamp():
    inside = a_process(200, **QUIET)
    away = a_process(201, environment=stamped("mine", worktree=HERE), **QUIET)
    nested = a_process(202, **QUIET)
    context = a_context(inside, away, nested, situation=REAP, places={200: LIVE_HERE, 201: NOWHERE, 202: LIVE_SIBLING})
    context = msgspec.structs.replace(context, surroundings={**context.surroundings, identity(202): LIVE_SIBLING})
    assert {step.record.pid for step in decide(context).steps} == {200, 201}


def test_an_fsmonitor_daemon_is_known_by_the_socket_it_holds():
    daemon = a_program("/usr/bin/git", "fsmonitor--daemon", "run")
    words = a_program("/usr/bin/gdb", "--args", "git", "fsmonitor--daemon", "run", pid=201)
    context = a_context(daemon, words, default_place=NOWHERE)
    assert decide(context).is_empty
    plan = decide(msgspec.structs.replace(context, sockets={identity(200): GONE_PLACE}))
    assert [(step.record.pid, step.reason) for step in plan.steps] == [(200, "fsmonitor")]
    for place in (LIVE_SIBLING, msgspec.structs.replace(GONE_PLACE, live=None)):
        assert decide(msgspec.structs.replace(context, sockets={identity(200): place})).is_empty


def test_what_a_registry_does_not_list_is_stopped_wherever_it_stands():
    context = a_context(a_process(), default_place=LIVE_HERE, untracked={identity(200): "shellper"})
    assert row(context).reason == "untracked"


def test_a_suspect_is_reported_and_never_stopped_even_when_it_is_an_orphan():
    context = a_context(a_process(), default_place=NOWHERE, suspects={identity(200): "mcp"})
    assert row(context).verdict is Verdict.REPORT
    orphan = a_context(a_process(), suspects={identity(200): "mcp"})
    assert (row(orphan).verdict, row(orphan).reason) == (Verdict.REPORT, "suspect")


@pytest.mark.parametrize("liveness", list(Liveness))
def test_a_run_of_another_worktree_that_was_started_at_the_reaped_path_is_reaped_only_when_it_is_dead(liveness):
    moved = a_run("moved", liveness, worktree=HERE, worktree_identity=f"{REPOSITORY}/worktrees/moved")
    member = a_process(environment=stamped("moved", "web", HERE))
    found = row(a_context(member, situation=REAP, default_place=NOWHERE, runs={"moved": moved}))
    assert (found is not None and found.verdict is Verdict.STOP) == (liveness is Liveness.DEAD)


def test_descendants_go_with_their_parent_through_a_wrapper_and_stop_at_a_veto():
    parent = a_process(200)
    wrapper = a_program("/bin/sh", "-c", "node x", pid=201, ppid=200)
    server = a_process(202, ppid=201, **QUIET)
    editor = a_program("/usr/bin/vim", "x", pid=203, ppid=202)
    plugin = a_process(204, ppid=203, **QUIET)
    context = a_context(parent, wrapper, server, editor, plugin, places={200: GONE_PLACE}, default_place=NOWHERE)
    plan = decide(context)
    assert [step.record.pid for step in plan.steps] == [202, 200]
    assert {each.record.pid: each.reason for each in plan.spared} == {201: "shell", 203: "editor"}


@pytest.mark.parametrize(("tty", "stopped"), [(7, {200}), (0, {200, 202})], ids=["typed into", "fed by a pipe"])
def test_what_is_started_from_a_shell_below_a_stale_copy_is_its_own_only_where_somebody_types(tty, stopped):
    server = a_process(200)
    shell = a_program("/bin/bash", pid=201, ppid=200, tty=tty, sid=201)
    program = a_process(202, ppid=201, tty=tty, sid=201, **QUIET)
    plan = decide(a_context(server, shell, program, situation=GUARD, default_place=LIVE_HERE, listeners=PORT))
    assert {step.record.pid for step in plan.steps} == stopped


def test_who_shares_the_session_of_one_that_is_stopped_is_nobody_to_stop():
    leader, adopted = a_process(200), a_process(201, sid=200, pgid=200)
    context = a_context(leader, adopted, places={200: GONE_PLACE, 201: NOWHERE})
    assert [step.record.pid for step in decide(context).steps] == [200]


def test_a_run_that_cannot_be_told_is_no_dead_one_and_another_service_no_earlier_start():
    unsure = a_process(environment=stamped("unsure"))
    assert gather(unsure, a_context(unsure, default_place=NOWHERE)) == ()
    other = a_process(environment=stamped("mine", "api", HERE), **QUIET)
    assert gather(other, a_context(other, situation=GUARD, default_place=NOWHERE, run="mine")) == ()


def test_the_dead_below_one_that_is_stopped_have_no_row():
    parent, dead = a_process(200), a_process(201, ppid=200, state="Z")
    plan = decide(a_context(parent, dead, places={200: GONE_PLACE, 201: NOWHERE}))
    assert [each.record.pid for each in (*plan.steps, *plan.spared)] == [200]


CHAINS = {
    "a server": (a_process(201, **QUIET), True),
    "a wrapper": (a_program("/bin/sh", "-c", "node x", pid=201), True),
    "a person's shell": (a_program("/bin/zsh", pid=201), False),
    "an agent": (a_program("/usr/bin/claude", pid=201), False),
    "an ancestor of ours": (a_process(SHELL_ABOVE, **QUIET), False),
}


@pytest.mark.parametrize(("above", "is_here"), CHAINS.values(), ids=CHAINS)
def test_a_parent_that_stands_here_says_so_of_its_child_only_where_it_starts_things_for_this_worktree(above, is_here):
    child = a_process(200, ppid=above.pid, environment=ProcessEnvironment(pwd="/x"), **QUIET)
    places = {above.pid: LIVE_HERE, 200: NOWHERE}
    context = a_context(child, above, situation=GUARD, places=places, listeners=PORT)
    assert row(context).verdict is (Verdict.STOP if is_here else Verdict.SPARE)
    untold = msgspec.structs.replace(child, environment=ProcessEnvironment())
    assert row(a_context(untold, above, situation=GUARD, places=places, listeners=PORT)).verdict is Verdict.SPARE


def test_the_stamp_of_another_worktree_says_nothing_about_a_left_over_folder():
    left_over = msgspec.structs.replace(GONE_PLACE, folder=Folder.PRESENT)
    for environment, strength in ((stamped("x"), Strength.HINT), (stamped("x", worktree=GONE), Strength.PROOF)):
        found = a_process(environment=environment)
        assert [each.strength for each in gather(found, a_context(found, default_place=left_over))] == [strength]


def test_what_descends_from_one_that_stays_stays_with_it():
    parent, stays, below = a_process(200), a_process(201, ppid=200), a_process(202, ppid=201)
    places = {200: GONE_PLACE, 201: LIVE_SIBLING, 202: NOWHERE}
    plan = decide(a_context(parent, stays, below, places=places))
    assert [step.record.pid for step in plan.steps] == [200]
    assert [(each.record.pid, each.reason) for each in plan.spared] == [(201, "live-worktree")]


def test_the_terminal_of_a_stale_copy_protects_its_descendants_no_more_than_itself():
    wrapper, server = a_process(200, tty=7), a_process(201, ppid=200, tty=7, **QUIET)
    places = {200: LIVE_HERE, 201: NOWHERE}
    context = a_context(wrapper, server, situation=GUARD, places=places, listeners=PORT)
    assert {step.record.pid for step in decide(context).steps} == {200, 201}


def test_a_teardown_takes_sessions_descendants_and_stamps_but_never_an_anchor():
    anchor = a_program("/bin/sh", pid=150, ppid=SELF, sid=150)
    main = a_process(200, ppid=150, sid=150)
    docker = a_program("/usr/bin/docker", "run", "x", pid=201, ppid=150, sid=150)
    escaped = a_process(202, ppid=1, environment=stamped("mine", "web", HERE))
    other = a_process(203, ppid=1, environment=stamped("mine", "api", HERE))
    daemonised = a_process(204, ppid=200)
    tree = Tree(leaders={"web": identity(150)})
    context = a_context(
        anchor, main, docker, escaped, other, daemonised, situation=TEARDOWN, default_place=None, tree=tree
    )
    assert {step.record.pid for step in decide(context).steps} == {200, 201, 202, 204}


def test_a_session_number_alone_is_nothing_when_the_anchor_is_another():
    successor = a_program("/bin/sh", pid=150, sid=150, identity=identity(150)._replace(start_token=9))
    member = a_process(200, sid=150, ppid=150)
    tree = Tree(leaders={"web": identity(150)})
    assert decide(a_context(successor, member, situation=TEARDOWN, default_place=None, tree=tree)).is_empty


def test_a_teardown_of_everything_takes_every_descendant():
    plain = a_process(200, ppid=SELF, cwd=Cwd("/", deleted=False))
    stranger = a_process(201, ppid=1)
    plan = decide(a_context(plain, stranger, situation=TEARDOWN, default_place=None))
    assert [step.record.pid for step in plan.steps] == [200]


def test_a_teardown_of_everything_leaves_the_descendants_from_before_the_run():
    before = a_process(200, ppid=SELF, identity=identity(200)._replace(start_token=99))
    its_child, ours, same_moment = a_process(201, ppid=200), a_process(202, ppid=SELF), a_process(203, ppid=202)
    same_moment = msgspec.structs.replace(same_moment, identity=identity(203)._replace(start_token=100))
    tree = Tree(everything=True, since=100)
    records = (before, its_child, ours, same_moment)
    plan = decide(a_context(*records, situation=TEARDOWN, default_place=None, tree=tree))
    assert {step.record.pid for step in plan.steps} == {202, 203}
    assert plan.spared == ()


def test_a_teardown_spares_and_reports_what_a_service_opened_for_a_person():
    browser = a_program("/opt/google/chrome/chrome", pid=200, ppid=SELF, environment=stamped("mine", "web", HERE))
    renderer = a_process(201, ppid=200, environment=stamped("mine", "web", HERE))
    tmux = a_program("/usr/bin/tmux", pid=202, ppid=SELF, environment=stamped("mine", "web", HERE))
    vim = a_program("/usr/bin/vim", pid=203, ppid=202, tty=7, environment=stamped("mine", "web", HERE))
    server = a_process(204, ppid=202, tty=7, environment=stamped("mine", "web", HERE))
    plan = decide(a_context(browser, renderer, tmux, vim, server, situation=TEARDOWN, default_place=None))
    assert plan.is_empty
    assert {each.record.pid: each.reason for each in plan.spared} == {200: "browser", 202: "terminal"}
    bare = [msgspec.structs.replace(each, environment=ProcessEnvironment()) for each in (tmux, vim, server)]
    assert decide(a_context(*bare, situation=TEARDOWN, default_place=None)).is_empty


def test_a_shared_daemon_that_hangs_on_its_anchor_is_the_service_and_one_that_forked_away_is_not():
    anchor = a_program("/bin/sh", pid=150, ppid=SELF, sid=150)
    command = a_program("/usr/bin/docker", "run", "x", pid=200, ppid=150, sid=150)
    daemon = a_program("/usr/bin/watchman", pid=201, ppid=SELF, sid=150)
    tree = Tree(leaders={"web": identity(150)})
    plan = decide(a_context(anchor, command, daemon, situation=TEARDOWN, default_place=None, tree=tree))
    assert [step.record.pid for step in plan.steps] == [200]
    assert [(each.record.pid, each.reason) for each in plan.spared] == [(201, "shared-daemon")]


def test_a_run_of_another_boot_has_no_members():
    runs = {"live": a_run("live", Liveness.LIVE, boot_id="earlier", groups={"web": identity(150)})}
    assert row(a_context(a_process(sid=150), runs=runs)).verdict is Verdict.STOP
