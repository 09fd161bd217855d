"""`devrun run`: a command becomes what a service would be, without one being started."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.support.devrun import PROGRAM, devrun

SERVICES = """\
services:
  api: {command: "true", port: 23811, working_dir: apps/api, environment: {LEVEL: "${worktree.slot}"}}
  web: {command: "true", port: 23810, depends_on: [api], environment: {API: "${api.url}"}}
"""
SHOW = "import json, os; print(json.dumps({'cwd': os.getcwd(), **os.environ}))"


@pytest.fixture
def project(repository):
    os.makedirs(os.path.join(repository.path, "apps", "api"))
    repository.write({"services.yaml": SERVICES, ".env": "SECRET=x y#z\n"})
    return repository.path


def shown(*words, cwd):
    done = devrun("run", *words, "--", sys.executable, "-c", SHOW, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_without_a_service_it_has_the_ports_of_all_and_no_port_of_its_own(project, monkeypatch):
    monkeypatch.setenv("PORT", "9")
    seen = shown(cwd=project)
    assert (seen["API_PORT"], seen["WEB_URL"], seen["SECRET"]) == ("23811", "http://localhost:23810", "x y#z")
    assert seen.keys() & {"PORT", "LEVEL", "API", "DEVRUN_RUN", "DEVRUN_SERVICE", "DEVRUN_WORKTREE"} == set()
    assert seen["cwd"] == project


def test_with_a_service_it_has_all_of_it_but_the_stamp(project):
    seen = shown("api", cwd=project)
    assert (seen["PORT"], seen["LEVEL"], seen["WEB_PORT"]) == ("23811", "0", "23810")
    assert seen["cwd"] == os.path.join(project, "apps", "api")
    assert seen.keys() & {"DEVRUN_RUN", "DEVRUN_SERVICE", "DEVRUN_WORKTREE"} == set()
    assert shown("web", cwd=project)["API"] == "http://localhost:23811"


def test_a_devrun_that_the_command_calls_has_the_same_ports(repository):
    repository.commit({"services.yaml": SERVICES, "apps/api/x": ""})
    linked = repository.worktree("linked")
    pinned = devrun("port", "api", cwd=linked, env={**os.environ, "DEVRUN_PIN_SLOT": "7"})
    within = devrun("run", "--", PROGRAM, "port", "api", cwd=linked)
    assert (pinned.stdout, within.stdout, within.stderr) == ("23881\n", "23881\n", "")


def test_of_a_formation_it_is_the_first(repository):
    repository.write({"services.yaml": "procfile: Procfile\nformation: web=2\n", "Procfile": "web: true\n"})
    done = devrun("run", "web", "--", "sh", "-c", "echo $PORT", cwd=repository.path)
    assert (done.returncode, done.stdout) == (0, "5000\n")
    assert done.stderr == "`web` has 2 instances, this is `web.1`\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--", "sh", "-c", "exit 7"], 7),
        (["--", "sh", "-c", "kill -TERM $$"], -15),
        (["--", "no-such-program"], 127),
        (["--", "./services.yaml"], 126),
        (["wbe", "--", "true"], 2),
        (["--"], 2),
        ([], 2),
    ],
    ids=["exit", "signal", "missing", "not executable", "unknown service", "empty", "nothing"],
)
def test_the_code_is_the_commands_or_says_why_there_was_none(project, words, code):
    done = devrun("run", *words, cwd=project)
    assert (done.returncode, done.stdout) == (code, "")
    assert (code in {7, -15}) == (done.stderr == "")
