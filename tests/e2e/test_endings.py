"""The details that decide whether a run ends well, on real processes."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import sys
import time

import psutil
import pytest

from devrun.state import open_state
from tests.support.arena import supervisor_of
from tests.support.devrun import PROGRAM
from tests.support.processes import DEADLINE, lives, nothing_happens, wait_gone, wait_until

GRACE = 2
LONG = 60  # a grace that no test waits out


def configure(folder, **services):
    """Write services.yaml: name=command, or name={…}."""
    written = {
        name: each if isinstance(each, dict) else {"command": each, "stop": {"timeout": GRACE}}
        for name, each in services.items()
    }
    (folder / "services.yaml").write_text(json.dumps({"services": written}))


def patient(command):
    return {"command": command, "stop": {"timeout": LONG}}


@pytest.fixture
def started(tmp_path, handshake, up):
    """Start `devrun up` with shapes as services (name = shape), and wait until they are ready."""

    def start(*shapes, grace=GRACE, options=(), **popen):
        configure(
            tmp_path,
            **{name: {"command": handshake.text(name, *options), "stop": {"timeout": grace}} for name in shapes},
        )
        run = up(cwd=tmp_path, **popen)
        handshake.wait_shapes(*shapes)
        return run

    return start


# --------------------------------------------------------------------------------- the stop itself


def test_a_stopped_process_gets_to_act_on_the_signal(started, handshake):
    run = started("drain", grace=LONG)
    handshake.reported[0].process.suspend()
    assert run.stop(signal.SIGTERM) == 143
    assert "drain | drained" in run.output


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_tree_that_forks_when_it_is_asked_to_end_is_gone_all_the_same(started, handshake, signum):
    run = started("reforker", grace=1)
    assert run.stop(signum) == 128 + signum
    assert handshake.wait_gone()


def test_a_shell_has_nothing_to_say_about_the_end_of_what_it_ran(tmp_path, handshake, up):
    """`sh` prints "Terminated" when its child is ended by TERM before itself: noise behind every Ctrl-C."""
    count = 8
    waiting = f"{handshake.text('listener', '--port', '0')}; exit $?"  # no `sh` turns into the last of two commands
    configure(tmp_path, **{f"s{number}": patient(waiting) for number in range(count)})
    run = up(cwd=tmp_path)
    handshake.wait_shapes(*["listener"] * count)
    assert run.stop() == 130
    assert "erminated" not in run.output


def test_all_services_share_one_grace(tmp_path, handshake, up):
    """Four in a chain of dependencies, each of which ignores TERM."""
    chain = {}
    for number in range(4):
        needs = {"depends_on": [f"s{number - 1}"]} if number else {}
        chain[f"s{number}"] = {"command": handshake.text("stubborn"), "stop": {"timeout": 3}, **needs}
    configure(tmp_path, **chain)
    run = up(cwd=tmp_path)
    handshake.wait_shapes(*["stubborn"] * 4)
    began = time.monotonic()
    run.stop()
    assert time.monotonic() - began < 4 * 3
    assert handshake.wait_gone()


def test_a_second_ctrl_c_skips_the_grace(started, handshake):
    run = started("stubborn", grace=LONG)
    run.send(signal.SIGINT)
    for _ in range(2):  # beyond what counts as one Ctrl-C
        nothing_happens()
    assert handshake.living()
    assert run.stop() == 130
    assert handshake.wait_gone()


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT])
def test_a_second_signal_of_another_kind_skips_nothing(started, signum):
    run = started("drain", grace=LONG, options=["--drain", "2"])
    run.send(signum)
    for _ in range(2):
        nothing_happens()
    run.send(signum)
    assert run.wait() == 128 + signum
    assert "drain | drained" in run.output


def test_a_doubled_ctrl_c_is_one(started):
    run = started("drain", grace=LONG)
    run.send(signal.SIGINT)
    run.send(signal.SIGINT)
    assert run.wait() == 130
    assert "drain | drained" in run.output


def test_signals_of_all_kinds_at_once_end_the_run_once(started, handshake):
    run = started("tree", "drain", grace=LONG)
    asked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    for signum in asked:
        run.send(signum)
    assert run.wait() in {128 + signum for signum in asked}
    assert "drain | drained" in run.output
    assert handshake.wait_gone()


def test_the_anchor_is_never_signalled_and_outlives_its_tree(started, handshake):
    run = started("drain", grace=LONG)
    main = handshake.reported[0].process
    anchor = psutil.Process(os.getsid(main.pid))
    assert anchor.pid != main.pid
    run.send(signal.SIGTERM)
    run.read_until("draining after SIGTERM")
    assert lives(anchor)
    run.wait()
    assert wait_gone([anchor]) == []
    with open_state() as state:
        stopped = {row.pid for row in state.journal.history()}
    assert main.pid in stopped
    assert anchor.pid not in stopped


def test_output_that_nobody_reads_does_not_hold_up_the_stop(started, handshake):
    run = started("noisy")
    run.read_until("noisy line")
    nothing_happens()  # the pipe is full by now
    run.send(signal.SIGTERM)
    assert handshake.wait_gone()
    assert run.popen.wait(DEADLINE) == 143


def test_a_terminal_that_stands_still_does_not_hold_up_the_stop(tmp_path, handshake, terminal):
    configure(tmp_path, noisy=handshake.text("noisy"))
    shown = terminal([PROGRAM, "up"], cwd=tmp_path)
    handshake.wait_shapes("noisy")
    shown.read_until("noisy line")
    nothing_happens()
    shown.popen.send_signal(signal.SIGTERM)
    assert handshake.wait_gone()
    assert shown.popen.wait(DEADLINE) == 143


def test_a_process_group_that_is_killed_from_outside_ends_the_run(started, handshake):
    run = started("session", "tree", grace=LONG)
    main = next(each for each in handshake.reported if each.shape == "session" and each.role == "main")
    os.killpg(os.getpgid(main.pid), signal.SIGKILL)
    assert run.wait() == 137
    assert handshake.wait_gone()


# ------------------------------------------------------------------------------- keeper, supervisor


def test_a_supervisor_that_hangs_at_stop_is_killed_and_its_tree_cleared(started, handshake):
    run = started("tree", "daemon", grace=1)
    supervisor_of(run.process).suspend()
    assert run.stop(signal.SIGTERM) == 137
    assert handshake.wait_gone()


def test_a_stopped_keeper_is_woken_when_the_run_ends(started, handshake):
    run = started("listener")
    run.process.suspend()
    handshake.reported[0].process.terminate()
    assert run.wait() == 143
    assert handshake.wait_gone()


def test_what_a_shell_had_in_the_background_when_it_became_devrun_is_not_of_the_run(tmp_path, handshake, up):
    configure(tmp_path, web=handshake.text("daemon"))
    words = f"{handshake.text('listener')} & read ready < go; exec {shlex.quote(PROGRAM)} up"
    os.mkfifo(tmp_path / "go")
    run = up(argv=["bash", "-c", words], cwd=tmp_path)
    (theirs,) = handshake.wait_shapes("listener")
    (tmp_path / "go").write_text("ready\n")
    ours = handshake.wait_shapes("daemon")
    (supervisor,) = (each for each in run.process.children() if each.pid != theirs.pid and lives(each))
    supervisor.kill()
    assert run.wait() == 137
    assert wait_gone([each.process for each in ours]) == []
    assert lives(theirs.process)
    theirs.process.kill()


def test_a_keeper_that_is_stopped_while_the_run_ends_ends_with_it(started, handshake):
    run = started("stubborn", grace=1)
    supervisor_of(run.process).terminate()
    with open_state(create=False) as state:
        wait_until(lambda: state.runs.all()[0].stopping_at is not None, "the run is ending")
    run.process.suspend()
    assert run.wait() == 143
    assert handshake.wait_gone()


def test_a_stopped_keeper_clears_up_after_its_supervisor_once_it_runs_again(started, handshake):
    run = started("daemon")
    supervisor = supervisor_of(run.process)
    run.process.suspend()
    supervisor.kill()
    assert wait_gone([supervisor]) == []
    run.process.resume()
    assert run.wait() == 137
    assert handshake.wait_gone()


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a stopped process of its parent's death")
def test_a_stopped_supervisor_tears_down_when_its_keeper_is_killed(started, handshake):
    run = started("tree", "daemon", "nohup")
    supervisor_of(run.process).suspend()
    run.process.kill()
    assert handshake.wait_gone()


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM])
def test_a_signal_that_means_nothing_to_the_supervisor_is_passed_over(started, signum):
    """`pkill -USR1 -f NAME` means a service, and reaches devrun, too, when its own words hold the name."""
    run = started("drain", grace=LONG)
    supervisor_of(run.process).send_signal(signum)
    assert run.stop() == 130
    assert "drain | drained" in run.output
    assert "bug" not in run.output


def test_neither_keeper_nor_supervisor_stands_in_the_worktree(started):
    run = started("listener")
    assert {os.readlink(f"/proc/{pid}/cwd") for pid in (run.pid, supervisor_of(run.process).pid)} == {"/"}
    run.stop()


@pytest.mark.linux
def test_a_service_inherits_no_lock_no_socket_and_no_master(tmp_path, up):
    shown = "import os; print('held', sorted({os.readlink(f'/proc/self/fd/{n}').split('[')[0] for n in (3, 4, 5, 6, 7, 8, 9) if os.path.lexists(f'/proc/self/fd/{n}')} - {f'/proc/{os.getpid()}/fd'}))"
    configure(tmp_path, first="sleep 1000", second=[sys.executable, "-I", "-c", shown])
    run = up(cwd=tmp_path)
    run.wait()
    assert "held []" in run.output


@pytest.mark.linux
def test_under_nohup_a_service_gets_its_default_signals(tmp_path, up):
    def ignore():
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(signum, signal.SIG_IGN)

    configure(tmp_path, shows="grep -E 'Sig(Ign|Blk)' /proc/self/status")
    run = up(cwd=tmp_path, preexec_fn=ignore)
    run.wait()
    masks = [line.split()[-1] for line in run.output.splitlines() if "Sig" in line]
    assert [int(mask, 16) for mask in masks] == [0, 0]


def test_a_run_started_with_its_standard_descriptors_closed_works(tmp_path, processes, handshake):
    configure(tmp_path, tree=handshake.text("tree"))
    closed = f"exec {shlex.quote(PROGRAM)} up <&- >&- 2>&-"
    run = processes.popen(["sh", "-c", closed], cwd=tmp_path, start_new_session=True)
    handshake.wait_shapes("tree")
    run.send_signal(signal.SIGTERM)
    assert run.wait(DEADLINE) == 143
    assert handshake.wait_gone()


def test_without_a_pty_the_run_says_so_and_goes_on(started, handshake, monkeypatch):
    monkeypatch.setenv("DEVRUN_DISABLE", "tether")
    run = started("tree")
    run.read_until("`tree` has no terminal")
    assert run.stop() == 130
    assert handshake.wait_gone()


# ------------------------------------------------------------------------------------- the start


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_at_any_moment_of_the_start_leaves_nothing(tmp_path, handshake, up, signum):
    """A tether and a keeper are there before the first service is."""
    configure(tmp_path, tree=handshake.text("tree"), stubborn=handshake.text("nohup"))
    for moment in range(0, 400, 40):
        run = up(cwd=tmp_path)
        select.select([run.popen.stdout], [], [], moment / 1000)
        run.send(signum)
        assert run.wait() in {128 + signum, -signum, 1}
        if signum == signal.SIGKILL:
            wait_until(lambda: not [each for each in psutil.Process().children(recursive=True) if lives(each)], "gone")
    run = up(cwd=tmp_path)
    run.read_until("stubborn")
    assert run.stop() == 130


def test_services_that_end_while_others_are_started_end_the_run(tmp_path, up):
    configure(tmp_path, **{f"s{number}": "exit 4" for number in range(12)})
    assert up(cwd=tmp_path).wait() == 4


def test_a_command_that_cannot_be_started_ends_the_run_and_what_was_started(tmp_path, handshake, up):
    configure(tmp_path, tree=handshake.text("tree"), none=["/no/such/program"])
    run = up(cwd=tmp_path)
    assert run.wait() in {126, 127}
    assert "none" in run.output


# ------------------------------------------------------------------------------------ the terminal


def test_ctrl_z_stops_devrun_alone_and_fg_brings_it_back(tmp_path, handshake, terminal):
    configure(tmp_path, listener=handshake.text("listener"))
    shown = terminal(["bash", "--norc", "-i"], cwd=tmp_path, env={**os.environ, "PS1": "prompt> "})
    shown.type(f"{PROGRAM} up\n")
    (service,) = handshake.wait_shapes("listener")
    (keeper,) = shown.process.children()
    shown.suspend()
    shown.read_until("Stopped")
    shown.read_until("prompt> ")  # what is typed before it may be thrown away
    assert keeper.status() == psutil.STATUS_STOPPED
    assert service.process.status() != psutil.STATUS_STOPPED
    shown.type("fg\n")
    wait_until(lambda: keeper.status() != psutil.STATUS_STOPPED, "it runs again")
    shown.interrupt()
    assert handshake.wait_gone()
    shown.type("exit\n")
    shown.wait()


def test_a_run_in_the_background_of_a_shell_goes_on_writing_to_its_terminal(tmp_path, handshake, terminal):
    """`stty tostop` stops background jobs that write: not the supervisor, whose terminal it is not."""
    os.mkfifo(tmp_path / "gate")
    configure(tmp_path, talker=f"read _ < gate; echo spoken; exec {handshake.text('listener')}")
    shown = terminal(["bash", "--norc", "-i"], cwd=tmp_path, env={**os.environ, "PS1": "prompt> "})
    shown.read_until("prompt> ")
    shown.type(f"{PROGRAM} up &\n")
    shown.read_until(r"^ +talker")
    shown.type("stty tostop; echo > gate\n")
    shown.read_until(r"talker \| spoken")
    handshake.wait_shapes("listener")
    shown.type("stty -tostop; kill -TERM %1; wait %1; echo code=$?\n")
    shown.read_until("code=143")
    assert handshake.wait_gone()
    shown.type("exit\n")
    shown.wait()


def test_the_size_of_the_terminal_reaches_a_service_that_has_one(tmp_path, terminal):
    """The service says its size at the start and whenever it changes."""
    code = (
        "import os, signal\n"
        "def say(*_): os.write(1, f'size {os.get_terminal_size(0)}\\n'.encode())\n"
        "signal.signal(signal.SIGWINCH, say); say()\n"
        "while True: signal.pause()\n"
    )
    configure(tmp_path, sized={"command": [sys.executable, "-I", "-c", code], "tty": True})
    shown = terminal([PROGRAM, "up"], cwd=tmp_path, rows=31, columns=97)
    shown.read_until(r"size .*columns=97, lines=31")
    shown.resize(22, 133)
    shown.read_until(r"size .*columns=133, lines=22")
    shown.interrupt()
    assert shown.wait() == 130


def test_a_password_prompt_of_a_service_is_seen_and_can_be_answered(tmp_path, handshake, terminal):
    configure(tmp_path, secret=handshake.text("prompt"))
    shown = terminal([PROGRAM, "up"], cwd=tmp_path)
    shown.read_until(r"secret \| Password: ")
    attached = terminal([PROGRAM, "attach", "secret"], cwd=tmp_path)
    attached.read_until("secret")
    attached.type("hunter2\n")
    shown.read_until(r"secret \| told hunter2")
    shown.interrupt()
    assert shown.wait() == 130


# ------------------------------------------------------------------------------------ shared daemons


@pytest.fixture
def shared_daemon(tmp_path, processes, up):
    """Start a run whose service starts a daemon known by its executable's name; return both.

    Like watchman it left the session, closed everything, and was adopted.
    """
    program = tmp_path / "bin" / "watchman"
    program.parent.mkdir()
    shutil.copy2("/bin/sleep", program)
    pidfile = tmp_path / "watchman.pid"
    start = f"setsid sh -c '{program} 1000 </dev/null >/dev/null 2>&1 & echo $! > {pidfile}.new; mv {pidfile}.new {pidfile}';"
    configure(tmp_path, files=f"{start} sleep 1000")
    run = up(cwd=tmp_path)
    wait_until(pidfile.exists, "the daemon is there")
    daemon = psutil.Process(int(pidfile.read_text()))
    yield run, daemon
    daemon.kill()
    wait_gone([daemon])


def test_a_shared_daemon_that_a_service_starts_is_named_and_left(shared_daemon):
    run, daemon = shared_daemon
    assert run.stop() == 130
    assert lives(daemon)
    assert f"left {daemon.pid} `watchman 1000`: it is a daemon that other worktrees share" in run.output


def test_the_keeper_names_the_shared_daemons_that_it_leaves(shared_daemon):
    run, daemon = shared_daemon
    supervisor_of(run.process).kill()
    assert run.wait() == 137
    assert lives(daemon)
    assert f"left {daemon.pid} `watchman 1000`: it is a daemon that other worktrees share" in run.output


def test_a_daemon_that_nobody_shares_is_stopped(started, handshake):
    run = started("daemon")
    assert run.stop() == 130
    assert handshake.wait_gone()


def test_a_service_that_a_signal_killed_ends_the_run_with_an_error(up, tmp_path):
    configure(tmp_path, a="kill -SEGV $$")
    run = up(cwd=tmp_path)
    assert run.wait() == 128 + signal.SIGSEGV
    assert "error: `a` exited with code 139 (SIGSEGV)" in run.output


def spoil_the_state():
    """Make the database unreadable, as a full disk or a bad sector would."""
    folder = os.environ["DEVRUN_STATE_DIR"]
    for name in os.listdir(folder):
        if name.startswith("state.db"):
            with open(os.path.join(folder, name), "r+b") as file:
                file.truncate(0)
                file.write(b"this is no database" * 1000)


def test_a_killed_supervisor_is_cleared_after_although_the_state_cannot_be_read(started, handshake, bystander):
    bystander()
    run = started("stubborn", "daemon")
    spoil_the_state()
    supervisor_of(run.process).kill()
    assert run.wait() == 137
    assert handshake.wait_gone()
    assert "bug" not in run.output


def test_a_restart_that_cannot_be_guarded_is_refused_and_the_run_stays_orderly(tmp_path, handshake, bystander, up):
    bystander()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    again = {"command": f"read _ < {gate}; exit 1", "restart": "always", "essential": False}
    configure(tmp_path, again=again, drain=patient(handshake.text("drain")))
    run = up(cwd=tmp_path)
    handshake.wait_shapes("drain")
    spoil_the_state()
    gate.write_text("\n")
    run.read_until("state.db` is corrupt")
    assert "`again`: state `" in run.output
    assert run.stop() == 130
    assert re.search(r"^drain +\| drained$", run.output, re.MULTILINE)
    assert "bug" not in run.output


def test_ctrl_c_is_orderly_although_the_state_cannot_be_written(started, handshake, bystander):
    bystander()
    run = started("drain", "daemon", grace=LONG)
    spoil_the_state()
    assert run.stop() == 130
    assert re.search(r"^drain +\| drained$", run.output, re.MULTILINE)
    assert handshake.wait_gone()
    assert "bug" not in run.output
