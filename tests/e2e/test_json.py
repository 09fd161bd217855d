"""Every `--json` answer: one object, as its schema and its golden file say, and nothing else on stdout.

`tests/golden/NAME.json` has what a command printed, with what differs from run to run replaced by a
word.  `UPDATE_GOLDEN=1 pytest tests/e2e/test_json.py` writes them anew; read the difference before
committing it: a key that goes or changes its meaning breaks somebody's script.
"""

from __future__ import annotations

import json
import os
import re
import sys

import jsonschema
import pytest

from devrun.report.schemas import KINDS, answer_schema
from devrun.verbs import VERBS
from tests.support.processes import lives
from tests.support.readme import ROOT
from tests.support.session import Session

GOLDEN = os.path.join(ROOT, "tests", "golden")
NUMBERS = {"pid": "PID", "supervisor": "PID", "owner": "PID", "cpu": "CPU", "rss": "BYTES"}
FROM_CODE = {"help", "schema", "completion"}
"""They print what the code says anyway: only their schema is held."""
OF_THE_MACHINE = {"sweep", "doctor", "history"}
"""They print what happens to be on this machine, too."""


@pytest.fixture
def project(make_repository, handshake):
    """A repository with services to start."""
    made = Session(make_repository("project").path, handshake)
    made.services(
        web="listener",
        worker={"command": ["sh", "-c", "echo hello; exec sleep 1000"]},
        docs={"shape": "listener", "profiles": ["docs"]},
    )
    yield made
    made.close()


def check(project, kind, *words, code=0, name=None):
    """Run a command; hold its answer against its schema and its golden file."""
    done = project(*words, "--json")
    assert done.returncode == code, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 1, done.stdout
    jsonschema.validate(answers[0], answer_schema(kind), jsonschema.Draft202012Validator)
    if kind not in FROM_CODE | OF_THE_MACHINE:
        hold(name or kind, normalised(answers[0], project))


def normalised(answer, project):
    words = {
        os.path.dirname(project.path): "FOLDER",
        os.path.join(ROOT, "tests", "support"): "SUPPORT",
        ROOT: "ROOT",
        sys.executable: "PYTHON",
        project.base: "WEB",
        project.base + 11: "NEXT",
        project.base + 22: "DOCS",
    }
    return _normalised(answer, words)


def _normalised(value, words, key=""):
    if isinstance(value, dict):
        return {name: _normalised(each, words, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_normalised(each, words, key) for each in value]
    if key in NUMBERS and value is not None:
        return NUMBERS[key]
    if isinstance(value, str):
        for known, word in words.items():
            value = value.replace(str(known), word)
        value = re.sub(r"(services\.yaml|Procfile):\d+:\d+", r"\1:LINE", value)
        value = re.sub(r"\d{8}-\d{6}-[0-9a-f]{8}", "RUN", value)
        value = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", value)
        return re.sub(r"pid \d+", "pid PID", value)
    return words.get(value, value) if type(value) is int else value


def hold(name, answer):
    path = os.path.join(GOLDEN, f"{name.replace(' ', '-')}.json")
    text = json.dumps(answer, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()


def test_the_answers_of_a_run(project):
    check(project, "ps", "ps", name="ps stopped")
    check(project, "up", "up", "-d", "--wait", name="up started")
    check(project, "up", "up", "-d", "--wait", name="up already running")
    check(project, "ps", "ps")
    check(project, "ps", "ps", "--all", name="ps all")
    check(project, "wait", "wait")
    check(project, "restart", "restart", "web")
    check(project, "stop", "stop", "web")
    check(project, "start", "start", "web")
    check(project, "error", "up", code=3, name="error already running")
    check(project, "worktree list", "worktree", "list")
    check(project, "down", "down")
    check(project, "down", "down", name="down again")
    check(project, "error", "stop", "web", code=1, name="error without a run")
    check(project, "history", "history")


def test_a_line_of_logs(project):
    project.json("up", "-d", "--wait")
    followed = project.popen("logs", "worker", "-f", "--json")
    line = json.loads(followed.stdout.readline())
    project("down")
    followed.communicate(timeout=30)
    jsonschema.validate(line, answer_schema("logs"), jsonschema.Draft202012Validator)
    hold("logs", normalised(line, project))


def test_the_answers_about_a_worktree(project):
    check(project, "ports", "ports")
    check(project, "ports", "ports", "--all", name="ports all")
    check(project, "port", "port", "web")
    check(project, "url", "url", "web")
    check(project, "env", "env")
    check(project, "check", "check")
    check(project, "doctor", "doctor")
    check(project, "schema", "schema")
    check(project, "help", "help")
    check(project, "completion", "completion", "bash")
    check(project, "completion", "completion", "--services")
    check(project, "error", "up", "nobody", code=2, name="error of usage")
    os.unlink(os.path.join(project.path, "services.yaml"))
    with open(os.path.join(project.path, "Procfile"), "w", encoding="utf-8") as procfile:
        procfile.write("web: python3 -m http.server $PORT\n")
    check(project, "init", "init")


def test_the_answers_of_cleaning(project, processes):
    code = "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()"
    stranger = processes.python(code, str(project.base), cwd="/")
    for kind, code in (("guard", 3), ("sweep", 0), ("reap", 0)):
        words = [kind, "web"] if kind == "guard" else [kind]
        done = project(*words, "--dry-run", "--json")
        assert done.returncode == code
        jsonschema.validate(json.loads(done.stdout), answer_schema(kind), jsonschema.Draft202012Validator)
    done = project("who", str(project.base), "--json")
    jsonschema.validate(json.loads(done.stdout), answer_schema("who"), jsonschema.Draft202012Validator)
    assert json.loads(done.stdout)["data"]["holders"][0]["pid"] == stranger.pid
    assert lives(stranger.process)


def test_the_answers_of_worktrees(project):
    folder = os.path.join(os.path.dirname(project.path), "linked")
    for kind, words in (("worktree add", ["-b", "feature", folder]), ("worktree remove", [folder])):
        done = project(*kind.split(), *words, "--json")
        assert done.returncode == 0, done.stderr
        jsonschema.validate(json.loads(done.stdout), answer_schema(kind), jsonschema.Draft202012Validator)


def test_every_kind_has_a_schema_that_is_one(project):
    for kind in KINDS:
        jsonschema.Draft202012Validator.check_schema(answer_schema(kind))
    assert json.loads(project("schema", "ps").stdout) == answer_schema("ps")
    refused = project("schema", "pz")
    assert refused.returncode == 2
    assert "`ps`" in refused.stderr


def test_every_command_with_json_has_a_schema():
    kinds = {kind.split()[0] for kind in KINDS}
    named = {verb.name for verb in VERBS if any("--json" in each.flags for each in verb.arguments)}
    assert named - kinds == set()
