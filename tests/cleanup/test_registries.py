"""Registries: running minus tracked are orphans; whatever goes wrong while asking means that nobody is."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading

import pytest

from devrun.cleanup import sweep
from devrun.config.project import Registry, SweepSettings
from tests.support.leftovers import mine
from tests.support.processes import lives

SCRIPT = "shellper-main.js"
QUIET = "ready(); rest()"
PARENT = "pid = os.fork()\nif not pid: rest()\nready(child=pid); rest()"
DAEMON = (
    "r, w = os.pipe()\npid = os.fork()\nif not pid:\n    if os.fork(): os._exit(0)\n"
    "    os.write(w, str(os.getpid()).encode()); rest()\n"
    "os.waitpid(pid, 0); ready(child=int(os.read(r, 20))); rest()"
)


@pytest.fixture
def shellper(server, tmp_path):
    """Start a process of the kind that the registry tracks."""

    def start(code=QUIET, **options):
        return server(tmp_path, code, f"/opt/{tmp_path.name}/{SCRIPT}", **options)

    return start


@pytest.fixture
def kind(tmp_path):
    """The `match` of this test's own kind: other tests run on the same machine."""
    return f"{tmp_path.name}/{SCRIPT}"


@contextlib.contextmanager
def serving(answer):
    """Serve `answer(handler)` on loopback; yield the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *words):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/api/terminals"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def saying(text, status=200, headers=()):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text if isinstance(text, bytes) else json.dumps(text).encode())

    return answer


def rows(*children):
    return {"terminals": [{"pid": each.pid} for each in children]}


def with_registry(kind, *, budget=5.0, grace=0.0, **live):
    live.setdefault("pids", "terminals[].pid")
    return SweepSettings(registries=(Registry("shellper", kind, grace=grace, **live),), budget=budget)


def test_running_minus_tracked_are_stopped_and_the_tracked_and_the_others_live(state, shellper, kind, bystander):
    tracked, orphans = [shellper() for _ in range(3)], [shellper() for _ in range(3)]
    bystander()
    with serving(saying(rows(*tracked))) as url:
        settings = with_registry(kind, url=url)
        announced = sweep(state, settings=settings, dry_run=True)
        assert mine(announced, *tracked, *orphans) == {each.pid for each in orphans}
        report = sweep(state, settings=settings)
        assert mine(report, *tracked, *orphans) == {each.pid for each in orphans}
        assert not mine(sweep(state, settings=settings), *tracked, *orphans)
    assert all(lives(each.process) for each in tracked)
    assert not any(lives(each.process) for each in orphans)
    assert {each.reason for each in report.plan.steps if each.record.pid in {one.pid for one in orphans}} == {
        "untracked"
    }


@pytest.mark.parametrize("how", ["command", "list", "file", "absolute file"])
def test_a_command_or_a_file_says_it_as_well(state, shellper, kind, tmp_path, how):
    tracked, orphan = shellper(), shellper()
    (tmp_path / "live.json").write_text(json.dumps(rows(tracked)))
    live = {
        "command": {"command": "cat live.json | cat"},
        "list": {"command": ("cat", "live.json")},
        "file": {"file": "live.json"},
        "absolute file": {"file": str(tmp_path / "live.json")},
    }[how]
    report = sweep(state, settings=with_registry(kind, **live), root=str(tmp_path))
    assert mine(report, tracked, orphan) == {orphan.pid}


def test_an_empty_answer_is_an_answer(state, shellper, kind):
    orphan = shellper()
    with serving(saying({"terminals": []})) as url:
        assert mine(sweep(state, settings=with_registry(kind, url=url)), orphan) == {orphan.pid}


def test_who_is_younger_than_the_grace_is_spared(state, shellper, kind):
    young = shellper()
    with serving(saying({"terminals": []})) as url:
        assert not mine(sweep(state, settings=with_registry(kind, url=url, grace=60)), young)
    assert lives(young.process)


def test_an_untracked_child_of_a_tracked_process_is_spared_and_the_child_of_an_orphan_goes(state, shellper, kind):
    tracked, orphan = shellper(PARENT), shellper(PARENT)
    with serving(saying(rows(tracked))) as url:
        report = sweep(state, settings=with_registry(kind, url=url))
    stopped = {each.record.pid for each in report.plan.steps}
    assert {orphan.pid, orphan.facts["child"]} <= stopped
    assert not {tracked.pid, tracked.facts["child"]} & stopped


def test_who_was_adopted_away_goes_by_the_session_that_the_orphan_leads(state, server, kind, tmp_path):
    code = DAEMON.replace("rest()\n", "os.execvp('sleep', ['sleep', '600'])\n", 1)
    orphan = server(tmp_path, code, f"/opt/{kind}")
    with serving(saying({"terminals": []})) as url:
        report = sweep(state, settings=with_registry(kind, url=url))
    reasons = {each.record.pid: each.reason for each in report.plan.steps}
    assert reasons[orphan.pid] == "untracked"
    assert reasons[orphan.facts["child"]] == "descendant"


def test_a_tracked_process_stays_even_in_a_worktree_that_is_gone(state, repository, server, kind):
    path = repository.worktree("a", f"{repository.path}/trees/a")
    tracked = server(path, QUIET, f"/opt/{kind}")
    repository.remove(path)
    with serving(saying(rows(tracked))) as url:
        registries = with_registry(kind, url=url).registries
        settings = SweepSettings(paths=(f"{repository.path}/trees/*",), registries=registries)
        report = sweep(state, settings=settings)
        assert not mine(report, tracked)
    assert [each.reason for each in report.spared if each.record.pid == tracked.pid] == ["tracked"]
    assert lives(tracked.process)
    assert mine(sweep(state, settings=SweepSettings(paths=settings.paths)), tracked) == {tracked.pid}


def slowly(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        handler.connection.settimeout(5)
        if handler.rfile.closed:
            return
        threading.Event().wait(0.05)


def never(handler):
    threading.Event().wait(1.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (saying({"error": "no"}, status=500), "status 500"),
        (saying(rows(), status=401), "status 401"),
        (saying(b"", status=302, headers=[("Location", "http://127.0.0.1:1/")]), "status 302"),
        (saying(b"<html>it works</html>"), "not JSON"),
        (saying(b""), "not JSON"),
        (saying({"items": []}), "finds no list"),
        (saying({"terminals": [{"id": 1}]}), "finds no pid"),
        (saying({"terminals": [{"pid": "x"}]}), "no pid"),
        (saying({"terminals": []}, headers=[("Content-Length", "500")]), "was cut off"),
        (lambda handler: handler.wfile.write(b"\x1b[2J\xff" * 50), "does not speak http"),
        (slowly, "did not answer"),
        (never, "did not answer"),
    ],
    ids=["500", "401", "redirect", "html", "empty", "shape", "no-pids", "nonsense", "cut", "no http", "drip", "silent"],
)
def test_whatever_keeps_the_list_from_being_read_spares_everybody_and_is_said(state, shellper, kind, answer, words):
    orphan = shellper()
    with serving(answer) as url:
        report = sweep(state, settings=with_registry(kind, url=url, budget=0.5))
    assert not mine(report, orphan)
    said = {each.what: each.why for each in report.skipped}
    assert words in said["registry `shellper`"]
    assert lives(orphan.process)


@pytest.mark.parametrize(
    ("live", "words"),
    [
        ({"command": "exit 3"}, "exit code 3"),
        ({"command": ("no-such-program",)}, "cannot be started"),
        ({"command": "sleep 60 & sleep 60"}, "time budget"),
        ({"file": "missing.json"}, "is no file"),
        ({"file": "."}, "is no file"),
        ({"url": "http://example.com/x"}, "not this machine"),
        ({"url": "http://10.0.0.1/x"}, "not this machine"),
        ({"url": "http://127.0.0.1.example.com/x"}, "not this machine"),
        ({"url": "http://[::1/x"}, "no URL"),
        ({"url": "ftp://127.0.0.1/x"}, "no http URL"),
    ],
)
def test_commands_files_and_urls_that_fail_spare_everybody_and_are_said(state, shellper, kind, tmp_path, live, words):
    orphan = shellper()
    report = sweep(state, settings=with_registry(kind, budget=0.5, **live), root=str(tmp_path))
    assert not mine(report, orphan)
    assert words in {each.what: each.why for each in report.skipped}["registry `shellper`"]


def test_nobody_at_the_port_spares_everybody(state, shellper, kind):
    orphan = shellper()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://localhost:{taken.getsockname()[1]}/"
        report = sweep(state, settings=with_registry(kind, url=url))
    assert not mine(report, orphan)
    assert "refused" in report.skipped[-1].why


def test_a_host_that_is_allowed_by_name_is_asked(state, shellper, kind):
    orphan = shellper()
    name = socket.gethostname()
    with serving(saying({"terminals": []})) as url:
        asked = url.replace("127.0.0.1", name)
        assert not mine(sweep(state, settings=with_registry(kind, url=asked)), orphan)
        report = sweep(state, settings=with_registry(kind, url=asked, allow_hosts=(name,)))
    assert not any("not this machine" in each.why for each in report.skipped)


def test_a_registry_without_anybody_of_its_kind_is_not_asked(state, kind):
    asked = []
    with serving(asked.append) as url:
        report = sweep(state, settings=with_registry(kind, url=url))
    assert (asked, [each for each in report.skipped if "registry" in each.what]) == ([], [])
