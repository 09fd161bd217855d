"""Runs in the background: up when they are ready, talked to by commands, and certain to end."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket

import psutil
import pytest

from tests.support.processes import DEADLINE, lives, nothing_happens, wait_until


def keeper(session):
    return psutil.Process(session.json("ps")["run"]["pid"])


# ---------------------------------------------------------------------------------------- up -d


def test_up_d_wait_returns_when_every_service_is_ready(session):
    session.services(web="listener", api={"shape": "listener", "depends_on": ["web"]})
    answer = session.json("up", "-d", "--wait")
    assert answer["status"] == "started"
    assert [(row["name"], row["state"], row["ready"]) for row in answer["services"]] == [
        ("web", "ready", True),
        ("api", "ready", True),
    ]
    with socket.create_connection(("127.0.0.1", answer["services"][0]["port"]), 5):
        pass


def test_a_second_up_d_says_already_running(session):
    session.services(web="listener")
    first = session.json("up", "-d")
    second = session.json("up", "-d", "--wait")
    assert second["status"] == "already_running"
    assert second["run"] == first["run"]
    assert second["services"][0]["ready"]
    assert len(session.handshake.wait(1)) == 1


def test_a_foreground_up_beside_a_live_run_is_refused_with_the_ways_out(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    done = session("up")
    assert done.returncode == 3
    assert re.search(r"error: already running in `.*` \(pid \d+\)\nhint: .*--replace.*devrun down", done.stderr)


def test_up_replace_takes_over(session):
    session.services(web="listener")
    first = session.json("up", "-d", "--wait")
    (old,) = session.handshake.wait(1)
    second = session.json("up", "-d", "--wait", "--replace")
    assert second["status"] == "started"
    assert second["run"] != first["run"]
    assert not lives(old.process)


STRANGER = "a stranger holds the port of a service that was added"
WRONG_STARTS = {
    "a slot that is too high": ({}, ["--slot", "9999"], 2),
    "a variable that is not set": ({"environment": {"X": "${env.MISSING}"}}, [], 2),
    STRANGER: ({}, [], 3),
}


@pytest.mark.parametrize("wrong", WRONG_STARTS)
def test_a_run_is_not_ended_for_a_successor_that_would_be_refused(session, processes, wrong):
    more, words, code = WRONG_STARTS[wrong]
    session.services(web="listener")
    first = session.json("up", "-d", "--wait")
    if wrong == STRANGER:
        processes.shape("listener", "--port", str(session.base + 11), cwd="/")
        session.services(web="listener", api="listener")
    else:
        session.services(web={"shape": "listener", **more})
    done = session("up", "-d", "--replace", *words)
    assert done.returncode == code, done.stderr
    session.services(web="listener")
    assert session.json("ps")["run"]["id"] == first["run"]
    assert session.json("up", "-d", "--wait", "--replace")["run"] != first["run"]


def test_a_run_that_is_replaced_says_so(session, up):
    session.services(web="listener")
    first = up(cwd=session.path)
    session.handshake.wait(1)
    session.json("up", "-d", "--wait", "--replace")
    assert first.wait() == 0
    assert "stopped by `devrun up --replace`; stopped web" in first.output


def test_up_d_of_a_service_beside_a_run_without_it_adds_it(session):
    session.services(web="listener", docs={"shape": "listener", "profiles": ["docs"]})
    first = session.json("up", "-d", "--wait")
    done = session("up", "-d", "--wait", "docs", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)["data"]
    assert answer["run"] == first["run"]
    assert "added `docs`" in done.stderr
    assert session.states() == {"web": "ready", "docs": "ready"}


def test_a_service_that_is_not_ready_in_time_leaves_nothing_and_says_its_last_lines(session):
    session.services(web={"command": "echo reading the map; sleep 1000", "port": session.base})
    done = session("up", "-d", "--wait", "--timeout", "1", "--json")
    assert done.returncode == 124
    error = json.loads(done.stdout)
    assert error["kind"] == "error"
    assert error["data"]["code"] == 124
    assert "`web`" in error["data"]["message"]
    assert "  web | reading the map" in done.stderr
    assert session.json("ps")["run"] is None


def test_a_service_that_fails_passes_its_code_and_last_lines_on(session):
    session.services(db="listener", web={"command": "echo no such database; exit 7", "port": session.base + 500})
    done = session("up", "-d", "--wait")
    assert done.returncode == 7
    assert "  web | no such database" in done.stderr
    assert "`web` exited with code 7" in done.stderr
    assert session.json("ps")["run"] is None


def test_a_service_added_to_a_run_that_fails_leaves_the_run_as_it_was(session):
    session.services(
        web="listener",
        helper={"shape": "listener", "profiles": ["x"]},
        docs={
            "command": "echo no docs; exit 4",
            "port": session.base + 500,
            "profiles": ["x"],
            "depends_on": ["helper"],
        },
    )
    session.json("up", "-d", "--wait")
    done = session("up", "-d", "--wait", "docs")
    assert done.returncode == 4
    assert "  docs | no docs" in done.stderr
    assert session.states() == {"web": "ready", "helper": "stopped", "docs": "failed"}


def test_a_server_that_exits_with_0_before_it_is_ready_is_not_waited_for_with_success(session):
    shy = {"command": "echo nothing to serve", "port": session.base + 500, "essential": False}
    session.services(web="listener", docs=shy, migrate={"command": "true", "essential": False})
    up = session("up", "-d", "--wait")
    assert up.returncode == 0
    assert "`docs` exited with code 0 before it was ready" in up.stderr
    done = session("wait", "docs")
    assert done.returncode == 1
    assert "  docs | nothing to serve" in done.stderr
    assert "error: `docs` exited with code 0 before it was ready\nhint: `devrun start docs`" in done.stderr
    assert session("start", "docs").returncode == 1
    assert session("wait", "web", "migrate").returncode == 0
    assert session("wait").returncode == 1


def test_a_foreign_server_on_the_port_is_exit_3_and_named(session, processes):
    session.services(web="listener")
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(session.base)
    )
    done = session("up", "-d", "--wait")
    assert done.returncode == 3
    assert str(stranger.pid) in done.stderr
    assert lives(stranger.process)


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_a_run_that_has_done_everything_before_anybody_could_look_has_its_answer(session, wait):
    session.services(migrate={"command": "true"}, docs={"command": "true", "profiles": ["docs"]})
    answer = session.json("up", "-d", *wait)
    assert answer["status"] == "started"
    assert [row["name"] for row in answer["services"]] == ["migrate"]
    session.services(docs={"command": "true", "profiles": ["docs"]})
    assert session.json("up", "-d", "--replace", *wait)["services"] == []


@pytest.mark.parametrize("verb", ["up", "take"])
def test_waiting_in_the_foreground_is_a_usage_error_and_starts_nothing(session, verb):
    session.services(web="listener")
    done = session(verb, "--wait")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"hint: `devrun {verb} -d --wait`\n")


def test_a_run_in_the_background_holds_nothing_that_its_caller_waits_for(session):
    """A pipe beyond the three streams: bats and make hand theirs down, and wait for its end."""
    session.services(web="listener")
    reader, writer = os.pipe()
    with open(reader, "rb") as waited_for:
        done = session("up", "-d", "--wait", pass_fds=[writer])
        os.close(writer)
        assert done.returncode == 0
        assert select.select([waited_for], [], [], DEADLINE)[0]
        assert waited_for.read() == b""
    assert session.states() == {"web": "ready"}


def test_interrupting_the_wait_ends_the_run(session, up):
    session.services(web="listener", slow={"shape": "stubborn", "ready": {"log": "never"}, "stop": {"timeout": 0.2}})
    run = up("-d", "--wait", cwd=session.path)
    session.handshake.wait_shapes("listener", "stubborn")
    assert run.stop(signal.SIGINT) == 130
    assert session.handshake.wait_gone()
    assert session.json("ps")["run"] is None


# ------------------------------------------------------------------------------------- the verbs


@pytest.mark.parametrize("words", [("up", "-d", "--wait"), ("exec", "--", "true")])
def test_a_start_whose_keeper_is_killed_says_so_and_leaves_nothing(session, words):
    session.services(web={"shape": "listener", "ready": {"log": "never"}})
    starting = session.popen(*words)
    session.handshake.wait(1)
    keeper(session).kill()
    _, said = starting.communicate(timeout=DEADLINE)
    assert (starting.returncode, said.splitlines()[-2:]) == (
        137,
        [
            "error: the keeper of the run was killed while it started",
            "hint: `devrun sweep` stops what it may have left",
        ],
    )
    assert session.handshake.wait_gone()


def test_a_start_that_is_interrupted_ends_with_a_keeper_that_somebody_stopped(session):
    session.services(web={"shape": "listener", "ready": {"log": "never"}})
    starting = session.popen("up", "-d", "--wait")
    session.handshake.wait(1)
    keeper(session).suspend()
    starting.terminate()
    starting.communicate(timeout=DEADLINE)
    assert starting.returncode == 143
    assert session.handshake.wait_gone()


def test_down_is_idempotent_and_quiet(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    assert session.json("down") == {"services": [{"name": "web", "outcome": "stopped"}]}
    assert session.handshake.wait_gone()
    again = session("down")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == ""
    assert session.json("down") == {"services": []}


def test_down_works_with_a_broken_configuration_and_so_does_ps(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    with open(os.path.join(session.path, "services.yaml"), "w", encoding="utf-8") as file:
        file.write("services: [")
    assert session.states() == {"web": "ready"}
    os.unlink(os.path.join(session.path, "services.yaml"))
    assert session("stop", "web").returncode == 0
    assert session("logs").returncode == 0
    assert session("down").returncode == 0
    assert session.handshake.wait_gone()


def test_stop_of_a_service_that_waits_for_its_restart_names_who_is_stopped_with_it_and_waits_for_them(session):
    gate = os.path.join(session.path, "gate")
    os.mkfifo(gate)
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    session.services(
        db={"command": f"read _ < {gate}; exit 1", "restart": {"policy": "always", "backoff": "10m"}},
        api={"command": stubborn, "depends_on": ["db"], "stop": {"timeout": 1}},
    )
    session.json("up", "-d", "--wait")
    with open(gate, "w", encoding="ascii") as opened:
        opened.write("\n")
    wait_until(lambda: session.states() == {"db": "waiting", "api": "ready"}, "db waits for its restart")
    stopped = session("stop", "db")
    assert stopped.stdout == "db: stopped\n"
    assert stopped.stderr == "`api` is stopped too: it depends on what was stopped\n"
    assert session.states() == {"db": "stopped", "api": "stopped"}
    assert session("stop", "db").stdout == "db: unchanged\n"


def test_the_log_of_a_run_in_the_background_says_once_why_it_ended(session):
    session.services(job={"command": "exit 3"}, web={"command": "sleep 1000", "depends_on": {"job": "completed"}})
    assert session("up", "-d", "--wait").returncode == 3
    assert session("logs").stdout == "devrun | `job` exited with code 3\n"


def test_stop_takes_dependents_along_and_start_brings_what_is_needed(session):
    session.services(db="listener", api={"shape": "listener", "depends_on": ["db"]}, web="listener")
    session.json("up", "-d", "--wait")
    stopped = session("stop", "db", "--json")
    assert json.loads(stopped.stdout)["data"] == {"services": [{"name": "db", "outcome": "stopped"}]}
    assert stopped.stderr == "`api` is stopped too: it depends on what was stopped\n"
    assert session.states() == {"db": "stopped", "api": "stopped", "web": "ready"}
    again = session("stop", "db", "--json")
    assert json.loads(again.stdout)["data"] == {"services": [{"name": "db", "outcome": "unchanged"}]}
    assert again.stderr == ""
    assert session.json("start", "api") == {"services": [{"name": "api", "outcome": "ready"}]}
    assert session.json("start", "api") == {"services": [{"name": "api", "outcome": "unchanged"}]}
    assert session.states() == {"db": "ready", "api": "ready", "web": "ready"}


def test_restart_is_a_new_process_and_its_dependents_stay(session):
    session.services(db="listener", api={"shape": "listener", "depends_on": ["db"]})
    session.json("up", "-d", "--wait")
    before = {row["name"]: row for row in session.json("ps")["services"]}
    assert session.json("restart", "db") == {"services": [{"name": "db", "outcome": "ready"}]}
    after = {row["name"]: row for row in session.json("ps")["services"]}
    assert after["db"]["pid"] != before["db"]["pid"]
    assert after["db"]["restarts"] == 1
    assert after["api"]["pid"] == before["api"]["pid"]


def test_a_start_asks_the_guard_first(session, processes):
    session.services(web="listener", other="listener")
    session.json("up", "-d", "--wait")
    session.json("stop", "web")
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(session.base)
    )
    done = session("start", "web")
    assert done.returncode == 3
    assert str(stranger.pid) in done.stderr
    assert lives(stranger.process)
    assert session.states() == {"web": "failed", "other": "ready"}


def test_a_service_that_came_into_the_configuration_later_has_its_port_guarded(session, processes):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    session.services(web="listener", late="listener")
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(session.base + 11)
    )
    done = session("up", "-d", "late", "--wait")
    assert done.returncode == 3
    assert f"port {session.base + 11} (`late`) is held by pid {stranger.pid}" in done.stderr
    assert session.states() == {"web": "ready", "late": "failed"}
    assert lives(stranger.process)


def test_a_service_is_shown_and_guarded_on_the_port_it_runs_with_not_on_that_of_a_changed_configuration(
    session, processes
):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    changed = session.base + 22
    session.services(web={"shape": "listener", "port": changed})
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(changed)
    )
    assert session.json("port", "web")["port"] == changed
    assert [row["port"] for row in session.json("ps")["services"]] == [session.base]
    assert [row["port"] for row in session.json("wait")["services"]] == [session.base]
    assert session.json("restart", "web") == {"services": [{"name": "web", "outcome": "ready"}]}
    assert lives(stranger.process)


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "wait", "attach"])
def test_without_a_run_a_verb_fails_with_a_hint(session, verb):
    session.services(web="listener")
    done = session(verb, "web")
    assert done.returncode == 1
    assert done.stderr == f"error: nothing is running in `{session.path}`\nhint: `devrun up` or `devrun up -d`\n"


@pytest.mark.parametrize("words", [["docs"], ["docs", "web"]])
def test_a_service_that_the_run_never_started_is_stopped_already_and_nobody_else_is(session, words):
    session.services(web="listener", api="listener", docs={"command": "true", "profiles": ["docs"]})
    session.json("up", "-d", "--wait")
    for web in ("stopped", "unchanged"):
        expected = {"docs": "unchanged", "web": web}
        outcomes = session.json("stop", *words)["services"]
        assert {row["name"]: row["outcome"] for row in outcomes} == {name: expected[name] for name in words}
    assert session.states() == {"web": "stopped" if "web" in words else "ready", "api": "ready"}
    assert session("stop", "docs", "dcos").returncode == 2


def test_an_unknown_service_is_named_with_the_nearest(session):
    session.services(web="listener")
    session.json("up", "-d")
    done = session("restart", "wev")
    assert done.returncode == 2
    assert done.stderr == "error: the run has no service `wev`\nhint: did you mean `web`?\n"


# ------------------------------------------------------------------------------------------ wait


def test_wait_returns_when_ready_and_times_out_with_124(session):
    session.services(web="listener", slow={"shape": "tree", "ready": {"log": "never"}})
    session.json("up", "-d")
    assert session.json("wait", "web")["services"][0]["ready"]
    done = session("wait", "--timeout", "0.5")
    assert done.returncode == 124
    assert "`slow` (running)" in done.stderr


def test_wait_has_the_code_of_a_service_that_fails(session):
    gate = os.path.join(session.path, "gate")
    os.mkfifo(gate)
    session.services(web="listener", job={"command": "echo trying; read _ < gate; exit 9", "ready": {"log": "never"}})
    session.json("up", "-d")
    waiting = session.popen("wait")
    client = psutil.Process(waiting.pid)
    wait_until(lambda: client.net_connections("unix"), "the client talks to the run")
    with open(gate, "w", encoding="ascii") as opened:
        opened.write("\n")
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 9
    assert "`job` exited with code 9" in said


def test_wait_takes_nothing_else_for_the_reason_of_an_end_that_the_run_could_not_explain(session):
    flap = {"command": "exit 1", "restart": {"policy": "on-failure", "backoff": 60}, "essential": False}
    session.services(slow={"shape": "tree", "ready": {"log": "never"}}, flap=flap)
    session.json("up", "-d")
    wait_until(lambda: "exited with code 1: restart" in session("logs").stdout, "a notice that is no reason to end")
    waiting = session.popen("wait")
    client = psutil.Process(waiting.pid)
    wait_until(lambda: client.net_connections("unix"), "the client talks to the run")
    psutil.Process(session.json("ps")["run"]["supervisor"]).kill()
    _, said = waiting.communicate(timeout=DEADLINE)
    message = "error: the run ended with exit code 1 before its services were ready: its supervisor was lost\n"
    assert (waiting.returncode, said) == (1, f"{message}hint: `devrun logs`\n")


def test_wait_names_the_wrong_server_that_ends_the_run(session, processes):
    session.services(web={"command": "sleep 1000", "port": session.base})
    session.json("up", "-d")
    waiting = session.popen("wait")
    client = psutil.Process(waiting.pid)
    wait_until(lambda: client.net_connections("unix"), "the client talks to the run")
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(session.base)
    )
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 3
    assert f"port {session.base} is held by pid {stranger.pid}" in said


def test_wait_for_a_stopped_service_fails_with_the_way_to_start_it(session):
    session.services(web="listener", api="listener")
    session.json("up", "-d", "--wait")
    session.json("stop", "web")
    done = session("wait")
    assert done.returncode == 1
    assert "hint: `devrun start web`" in done.stderr


# -------------------------------------------------------------------------------------------- ps


def test_ps_shows_the_main_process_and_the_whole_tree(session):
    session.services(web="listener", tree="tree")
    session.json("up", "-d", "--wait")
    reported = session.handshake.wait_shapes("listener", "tree")
    listener = next(each for each in reported if each.shape == "listener")
    rows = {row["name"]: row for row in session.json("ps")["services"]}
    assert rows["web"]["pid"] == listener.pid
    sizes = sum(each.process.memory_info().rss for each in reported if each.shape == "tree")
    assert rows["tree"]["rss"] >= sizes * 0.8
    assert rows["web"]["rss"] < sizes


def test_ps_measures_the_cpu_that_is_used_now(session):
    session.services(idle="listener", busy={"command": "while :; do :; done"})
    session.json("up", "-d", "--wait")
    rows = {row["name"]: row for row in session.json("ps")["services"]}
    assert rows["busy"]["cpu"] > rows["idle"]["cpu"]
    assert rows["busy"]["cpu"] > 5


def test_ps_is_plain_in_a_pipe_and_a_table_on_a_terminal(session, terminal):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    plain = session("ps").stdout.splitlines()
    assert plain[1].split() == ["service", "state", "pid", "port", "url", "uptime", "restarts", "cpu", "memory"]
    assert plain[2].startswith("web")
    assert "\x1b" not in session("ps").stdout
    from tests.support.devrun import PROGRAM

    shown = terminal([PROGRAM, "ps"], cwd=session.path)
    assert shown.wait() == 0
    assert "web" in shown.text
    assert "\x1b[" in shown.raw


def test_ps_without_a_run_lists_what_could_be_started_and_writes_nothing(session, tmp_path):
    session.services(web="listener")
    answer = session.json("ps")
    assert answer["run"] is None
    assert [(row["name"], row["state"], row["pid"]) for row in answer["services"]] == [("web", "stopped", None)]
    assert not (tmp_path / "devrun-state").exists()


def test_ps_all_lists_the_live_runs_of_every_worktree(session, tmp_path, handshake):
    from tests.support.session import Session

    other = Session(tmp_path / "other", handshake)
    session.services(web="listener")
    other.services(docs="listener")
    try:
        session.json("up", "-d", "--wait")
        other.json("up", "-d", "--wait")
        shown = session.json("ps", "--all")
        assert {each["worktree"]: [row["name"] for row in each["services"]] for each in shown} == {
            session.path: ["web"],
            other.path: ["docs"],
        }
    finally:
        other.close()


def test_ps_and_wait_name_a_wrong_server_on_a_port_of_ours(session, processes):
    """Ours listens on IPv6 only; a stranger answers on IPv4, where the browser may go first."""
    code = "import socket,signal; s = socket.create_server(('::1', __PORT__), family=socket.AF_INET6); signal.pause()"
    session.services(
        web={"command": ["python3", "-c", code.replace("__PORT__", str(session.base))], "port": session.base}
    )
    session.json("up", "-d", "--wait")
    stranger = processes.python(
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()", str(session.base)
    )
    for words, code in ((["ps"], 1), (["wait"], 3)):
        done = session(*words)
        assert done.returncode == code
        assert f"port {session.base} of `web` is held by pid {stranger.pid} `python" in done.stderr
    assert not json.loads(session("ps", "--json").stdout)["data"]["services"][0]["ready"]


# ---------------------------------------------------------------------------- when things go wrong


def test_the_socket_is_healed_when_it_was_swept_away(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "devrun")
    (name,) = os.listdir(folder)
    os.unlink(os.path.join(folder, name))
    wait_until(lambda: os.path.exists(os.path.join(folder, name)), "the socket is back")
    assert session.states() == {"web": "ready"}


def test_down_ends_a_run_of_another_version_by_a_signal(session, monkeypatch):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    other = {**os.environ, "PYTHONPATH": os.path.join(os.path.dirname(__file__), "another_version")}
    refused = session("restart", "web", env=other)
    assert refused.returncode == 1
    assert "version 1 of the control protocol, this devrun 2" in refused.stderr
    assert "hint: `devrun down`" in refused.stderr
    waited = session("wait", "--timeout", "600", env=other)
    assert (waited.returncode, waited.stderr) == (1, refused.stderr)
    shown = session("ps", env=other)
    assert shown.returncode == 1
    assert "running" in shown.stdout
    done = session("down", env=other)
    assert done.returncode == 0
    assert session.handshake.wait_gone()


def test_down_ends_a_run_whose_supervisor_does_not_answer(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    session.handshake.wait(1)
    folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "devrun")
    (name,) = os.listdir(folder)
    os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
    with open(folder, "w", encoding="ascii"):  # nobody can listen there any more
        pass
    try:
        assert session("ps").returncode == 1
        assert session("down").returncode == 0
        assert session.handshake.wait_gone()
    finally:
        os.unlink(folder)


def test_a_stopped_supervisor_keeps_nobody_waiting_and_down_ends_the_run(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    psutil.Process(session.json("ps")["run"]["supervisor"]).suspend()
    late = session("wait", "--timeout", "0.5")
    assert late.returncode == 124
    assert late.stderr == (
        f"error: not ready after 0.5 s: the run in `{session.path}` does not answer\nhint: `devrun down` ends it\n"
    )
    shown = session("ps")
    assert shown.returncode == 1
    assert "does not answer\nhint: `devrun down` ends it" in shown.stderr
    assert session("down").returncode == 0
    assert session.handshake.wait_gone()


def test_fifty_agents_at_once(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    clients = [session.popen("wait", "--json") for _ in range(50)]
    answers = [json.loads(each.communicate(timeout=60)[0]) for each in clients]
    assert all(each["data"]["services"][0]["ready"] for each in answers)


def test_the_run_goes_on_when_the_command_that_started_it_is_gone(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    (web,) = session.handshake.wait(1)
    nothing_happens()
    assert lives(web.process)
    assert keeper(session).terminal() is None


def test_a_service_that_fails_in_a_live_run_has_the_code_it_failed_with(session):
    session.services(web="listener", slow={"shape": "listener --port 0", "port": session.base + 500, "profiles": ["x"]})
    session.json("up", "-d", "--wait")
    done = session("up", "-d", "--wait", "slow", "--timeout", "0.5")
    assert done.returncode == 124
    assert session.states() == {"web": "ready", "slow": "stopped"} or session.states()["slow"] == "failed"
