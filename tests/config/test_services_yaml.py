"""Every key of services.yaml: the forms it takes, and the errors with their places."""

from __future__ import annotations

import os
import signal

import pytest

from devrun.config.project import (
    Condition,
    Dependency,
    OnForeign,
    Ready,
    ReadyKind,
    Restart,
    RestartPolicy,
    Stdin,
    Stop,
)
from devrun.errors import ConfigError

DESIGN = """\
# yaml-language-server: $schema=…            (devrun schema)
ports: {stride: 10}
env_file: [.env, {path: .env.local, required: false}]
sweep:
  runtimes: [node, bun, "@mintlify"]      # added to the built-in list
  registries: [{name: shellper, match: shellper-main.js, grace: 60, live: {url: "http://127.0.0.1:4100/api/terminals", pids: "terminals[].pid"}}]
  pidfiles: [".orchestrator-state/active-session-{pid}"]
  suspects: [{name: mcp, runtime: bun, match: orchestrator/dist/server.js, owner: claude, hops: 8}]
services:
  api:
    command: pnpm --filter api dev            # text = shell, list = exec
    working_dir: apps/api                     # inside the worktree
    port: 3001
    environment: {DATABASE_URL: "postgres://localhost/app_${worktree.slug}"}
    ready: {http: /healthz, timeout: 60}      # or port (default when it has one), log: REGEX, command: …
    restart: on-failure                       # no (default) | on-failure | always, with max_restarts and back-off
    stop: {signal: SIGTERM, timeout: 5}
  web:
    command: pnpm --filter web dev --port ${PORT}
    port: 3000
    depends_on: {api: ready}                  # or a list; started | ready | completed, compose's own words accepted
  code-sdk-docs:
    command: mint dev --port ${PORT}
    port: 3802
    port_env: DOCS_SDK_PORT
    match: "@mintlify/cli/bin/start.js"
    on_foreign: refuse                        # or stop: when a stranger holds the port
    profiles: [docs]                          # started when named or with --profile docs
"""


def test_the_file_of_the_design_means_what_the_design_says(folder):
    folder.write(".env", 'A="b c" # comment\n')
    os.makedirs(os.path.join(folder.path, "apps/api"))
    project = folder.load(DESIGN)
    api, web, docs = project.services.values()
    assert project.env_files == {"A": "b c"}
    assert api.working_dir == os.path.join(folder.path, "apps/api")
    assert api.ready == Ready(ReadyKind.HTTP, "/healthz", 60)
    assert api.restart.policy is RestartPolicy.ON_FAILURE
    assert web.depends_on == (Dependency("api", Condition.READY),)
    assert web.ready.kind is ReadyKind.PORT
    assert (docs.port, docs.port_env, docs.profiles) == (3802, "DOCS_SDK_PORT", ("docs",))
    assert str(docs.place) == "services.yaml:22:3"
    assert project.sweep.registries[0].pids == "terminals[].pid"
    assert project.sweep.suspects[0].owner == ("claude",)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", Restart()),
        ("restart: no", Restart()),
        ("restart: false", Restart()),
        ("restart: 'no'", Restart()),
        ("restart: always", Restart(RestartPolicy.ALWAYS)),
        ("restart: true", Restart(RestartPolicy.ALWAYS)),
        ("restart: unless-stopped", Restart(RestartPolicy.ALWAYS)),
        ("restart: on-failure", Restart(RestartPolicy.ON_FAILURE)),
        ("restart: on_failure", Restart(RestartPolicy.ON_FAILURE)),
        ("restart: on-failure:3", Restart(RestartPolicy.ON_FAILURE, 3)),
        ("restart: on-failure\nmax_restarts: 2\nbackoff: 100ms", Restart(RestartPolicy.ON_FAILURE, 2, 0.1)),
        ("restart: {policy: always, max_restarts: 0, max_backoff: 1m}", Restart(RestartPolicy.ALWAYS, 0, 0.5, 60)),
        ("restart: always\nbackoff: 1m", Restart(RestartPolicy.ALWAYS, None, 60, 60)),
        ("restart: always\nbackoff: 1m\nmax_backoff: 5s", Restart(RestartPolicy.ALWAYS, None, 60, 5)),
    ],
)
def test_restart_in_all_its_forms(folder, written, meant):
    assert folder.service("command: x\n" + written).restart == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[db]", (Dependency("db"),)),
        ("db", (Dependency("db"),)),
        ("{db: started}", (Dependency("db", Condition.STARTED),)),
        ("{db: {condition: service_started}}", (Dependency("db", Condition.STARTED),)),
        ("{db: {condition: service_healthy}}", (Dependency("db"),)),
        ("{db: {condition: process_healthy}}", (Dependency("db"),)),
        ("{db: {condition: process_log_ready}}", (Dependency("db"),)),
        ("{db: {condition: service_completed_successfully}}", (Dependency("db", Condition.COMPLETED),)),
        ("{db: {condition: process_completed_successfully}}", (Dependency("db", Condition.COMPLETED),)),
        ("{db: completed}", (Dependency("db", Condition.COMPLETED),)),
    ],
)
def test_dependencies_in_compose_s_words_too(folder, written, meant):
    text = f"services:\n  db: {{command: y}}\n  web: {{command: x, depends_on: {written}}}\n"
    assert folder.load(text).services["web"].depends_on == meant


def test_who_is_awaited_as_completed_is_a_task_for_the_whole_project(folder):
    text = """
services:
  migrate: {command: x}
  api: {command: x}
  web: {command: x, profiles: [front], depends_on: {migrate: completed, api: ready}}
"""
    assert [each.name for each in folder.load(text).services.values() if each.completes] == ["migrate"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("command: x", Ready()),
        ("command: x\nport: 3000", Ready(ReadyKind.PORT)),
        ("command: x\nport: 3000\nready: port", Ready(ReadyKind.PORT)),
        ("command: x\nport: 3000\nready: started", Ready(ReadyKind.STARTED)),
        ("command: x\nport: 3000\nready: {timeout: 1m30s}", Ready(ReadyKind.PORT, timeout=90)),
        ("command: x\nport: 3000\nready: {port: true}", Ready(ReadyKind.PORT)),
        ("command: x\nport: 3000\nready: {port: 3000}", Ready(ReadyKind.PORT)),
        ("command: x\nports: {debug: 9229}\nready: {port: debug}", Ready(ReadyKind.PORT, "debug")),
        ("command: x\nports: {debug: 9229}\nready: {port: 9229}", Ready(ReadyKind.PORT, "debug")),
        ("command: x\nport: 3000\nready: {http: /up}", Ready(ReadyKind.HTTP, "/up")),
        ("command: x\nready: {http: 'http://localhost:1/'}", Ready(ReadyKind.HTTP, "http://localhost:1/")),
        ("command: x\nready: {log: 'ready in \\d+'}", Ready(ReadyKind.LOG, r"ready in \d+")),
        ("command: x\nready: {command: [pg_isready, -p, 5432]}", Ready(ReadyKind.COMMAND, ("pg_isready", "-p", "5432"))),
    ],
)  # fmt: skip
def test_ready_in_all_its_forms(folder, written, meant):
    assert folder.service(written).ready == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{signal: SIGINT}", Stop(signal.SIGINT)),
        ("{signal: int}", Stop(signal.SIGINT)),
        ("{signal: 2, timeout: 10s}", Stop(signal.SIGINT, 10)),
        ("{signal: '15', timeout: 0.5}", Stop(signal.SIGTERM, 0.5)),
    ],
)
def test_stop_in_all_its_forms(folder, written, meant):
    assert folder.service(f"command: x\nstop: {written}").stop == meant


def test_environment_keeps_the_written_text_of_every_scalar(folder):
    service = folder.service("command: x\nenvironment: {A: 1.10, B: true, C: no, D: 0755, E: 'x y', F: '', G: }")
    assert service.environment == {"A": "1.10", "B": "true", "C": "no", "D": "0755", "E": "x y", "F": ""}


def test_environment_as_a_list(folder):
    service = folder.service("command: x\nenvironment: [A=1, B=x=y, C=, D]")
    assert service.environment == {"A": "1", "B": "x=y", "C": ""}


def test_small_keys(folder):
    service = folder.service(
        "command: [node, server.js, 3]\nport: '3000'\nports: {debug: 9229}\nfixed: yes\nessential: no\ntty: on\n"
        "stdin: null\nmatch: next dev\non_foreign: stop\nprofiles: docs\nx-mine: {any: thing}"
    )
    assert service.command == ("node", "server.js", "3")
    assert (service.port, service.ports) == (3000, {"debug": 9229})
    assert (service.fixed, service.essential, service.tty, service.stdin) == (True, False, True, Stdin.NULL)
    assert (service.match, service.on_foreign, service.profiles) == ("next dev", OnForeign.STOP, ("docs",))


def test_a_sweep_is_told_the_match_of_every_service(folder):
    services = "".join(f"  {name}: {{command: x{extra}}}\n" for name, extra in (("a", ", match: x.js"), ("b", "")))
    wanted = folder.load(f"sweep: {{runtimes: [mint]}}\nservices:\n{services}").to_sweep
    assert (wanted.runtimes, wanted.matches) == (("mint",), ("x.js",))


def test_stdin_is_the_tether_unless_it_is_null(folder):
    assert folder.service("command: x").stdin is Stdin.TETHER


def test_private_keys_anchors_and_merges(folder):
    text = """
        x-base: &base {restart: always, environment: &env {A: "1"}}
        services:
          web: {<<: *base, command: x, environment: {<<: *env, B: "2"}, x-note: y}
    """
    web = folder.load(text).services["web"]
    assert web.restart.policy is RestartPolicy.ALWAYS
    assert web.environment == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("written", "column", "message", "hint"),
    [
        ("comand: x", 5, "unknown key `comand`", "did you mean `command`?"),
        ("command: x\nimage: y", 5, "unknown key `image`", "devrun starts programs"),
        ("command: x\nstop_grace_period: 10s", 5, "unknown key", "`stop: {timeout: …}`"),
        ("command: x\nport: 0", 11, "a port from 1 to 65535, found `0`", None),
        ("command: x\nport: 65536", 11, "a port from 1 to 65535", None),
        ("command: x\nport: 22:22", 11, "found `22:22`", "no mapping of ports here: `22`"),
        ("command: x\nport: 03000", 11, "found `03000`", "octal"),
        ("command: x\nport: 3000.0", 11, "a port", None),
        ("command: x\nport: true", 11, "a port", None),
        ("command: x\nport: '${env.P}'", 11, "a port", "port_env"),
        ("command: x\nports: ['3000:3000']", 12, "`services.web.ports` takes a mapping, found a list", "port: 3000"),
        ("command: x\nports: {debug: 70000}", 20, "a port from 1", None),
        ("command: []", 14, "is empty", None),
        ("command: ''", 14, "is an empty text", None),
        ("command: ' '", 14, "the command of `web` is empty", None),
        ("command: [' ']", 14, "the command of `web` is empty", None),
        ("command: [a, [b]]", 18, "takes text or a number, found a list", None),
        ("command: 3", 14, "found `3`", "in quotes"),
        ("working_dir: .\nport: 1", 3, "`web` has no `command`", None),
        ("command: x\nworking_dir: nope", 18, "the folder `nope` does not exist", None),
        ("command: x\nworking_dir: services.yaml", 18, "`services.yaml` is no folder", None),
        ("command: x\nworking_dir: ..", 18, "outside of the worktree", None),
        ("command: x\nworking_dir: /", 18, "outside of the worktree", None),
        ("command: x\nworking_dir: '${env.X}'", 18, "takes no templates", None),
        ("command: x\nmatch: ''", 12, "empty text", None),
        ("command: x\nmatch: '  '", 12, "would match every process", None),
        ("command: x\nmatch: a ${PORT}", 12, "takes no templates", None),
        ("command: x\nrestart: alwys", 14, "found `alwys`", "did you mean `always`?"),
        ('command: x\nrestart: "always\\n"', 14, "found the text `always", None),
        ('command: x\nrestart: "on-failure:3\\n"', 14, "found the text `on-failure:3", None),
        ('command: x\nport: 3000\nport_env: "A\\n"', 15, "the name of a variable", None),
        ('command: x\nport: "3000\\n"', 11, "a port from 1 to 65535", None),
        ('command: x\nstop: {timeout: "5s\\n"}', 21, "a number of seconds", None),
        ("command: x\nmax_restarts: 3", 19, "needs `restart`", None),
        ("command: x\nenv_file: .env", 5, "unknown key `env_file`", "it stands at the top of the file"),
        ("command: x\nrestart: on-failure:3\nmax_restarts: 2", 19, "said twice", None),
        ("command: x\nrestart: always\nmax_restarts: -1", 19, "a whole number from 0", None),
        ("command: x\nrestart: always\nbackoff: soon", 14, "a number of seconds", None),
        ("command: x\non_foreign: kill", 17, "`refuse` or `stop`", None),
        ("command: x\nstop: {signal: TREM}", 20, "no signal is called `TREM`", "TERM"),
        ("command: x\nstop: {signal: SIGSTOP}", 20, "does not end a process", None),
        ("command: x\nstop: {timeout: -1}", 21, "a number of seconds", None),
        ("command: x\nstop: 5", 11, "takes a mapping", None),
        ("command: x\nready: {htp: /}", 13, "unknown key `htp`", "did you mean `http`?"),
        ("command: x\nready: {log: '('}", 18, "no regular expression", None),
        ("command: x\nready: {log: ''}", 18, "every line would match", None),
        ("command: x\nready: {log: a, command: b}", 12, "found `log` and `command`", None),
        ("command: x\nready: {http: /x}", 19, "`web` has no port", None),
        ("command: x\nready: {http: x}", 19, "begins with `/`", "`http: /x`"),
        ("command: x\nready: {http: 'http://localhost:99999/'}", 19, "no valid port", None),
        (f"command: x\nready: {{http: 'http://localhost:{'1' * 5000}/'}}", 19, "no valid port", None),
        ("command: x\nready: {http: 'http://example.com/'}", 19, "not on this machine", "`localhost`"),
        ("command: x\nready: {port: true}", 19, "has no port", None),
        ("command: x\nport: 1\nready: {port: debug}", 19, "has no port `debug`", None),
        ("command: x\nready: {timeout: 0, log: x}", 22, "more than 0", None),
        ("command: x\nready: port", 12, "no port to wait for", None),
        ("command: x\ntty: maybe", 10, "true or false", None),
        ("command: x\nfixed: true", 12, "has no port", None),
        ("command: x\nenvironment: {A: [1]}", 22, "found a list", None),
        ("command: x\nenvironment: {'': x}", 19, "no name of a variable", None),
        ("command: x\nenvironment: {DEVRUN_RUN: x}", 19, "devrun's own variable", None),
        ("command: x\nenvironment: [{A: b}]", 19, "takes texts", None),
        ("command: x\nport_env: a-b", 15, "the name of a variable", None),
        ("command: x\nport_env: WEB_BASE", 15, "`WEB_BASE` is not set", "`port:`"),
        ("command: x\nprofiles: [1]", 16, "takes text", None),
        ("command: x\ndepends_on: {web2: redy}", 24, "found `redy`", "did you mean `ready`?"),
        ("command: x\ndepends_on: [web]", 18, "depends on itself", None),
        ("command: x\nport: 3000\nports: {a: 3000}", 16, "same port as itself", None),
    ],
)  # fmt: skip
def test_a_wrong_service_is_refused_at_its_place(folder, written, column, message, hint):
    with pytest.raises(ConfigError) as caught:
        folder.service(written)
    error = caught.value
    line = 2 if column == 3 else 3 + written.count("\n")
    assert error.where == f"services.yaml:{line}:{column}"
    assert message in error.message
    assert hint is None or hint in error.hint


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "1:1", "no service is defined"),
        ("services: {}\n", "1:1", "no service is defined"),
        ("services: []\n", "1:11", "`services` takes a mapping, found a list"),
        ("port: 3\nservices: {a: {command: x}}\n", "1:1", "unknown key `port`"),
        ("ports: {slot: 3}\nservices: {a: {command: x}}\n", "1:15", "would pin every worktree"),
        ("ports: {stride: 0}\nservices: {a: {command: x}}\n", "1:17", "a whole number from 1"),
        ("env_file: nope\nservices: {a: {command: x}}\n", "1:11", "`nope` cannot be read: there is no such file"),
        ("procfile: nope\nservices: {a: {command: x}}\n", "1:11", "the Procfile `nope` does not exist"),
        ("env_file: [.]\nservices: {a: {command: x}}\n", "1:12", "`.` is a folder"),
        ("procfile: /dev/null\nservices: {a: {command: x}}\n", "1:11", "`/dev/null` is a device"),
        ("formation: a=2\nservices: {a: {command: x}}\n", "1:12", "there is none"),
        ("services: {a: {command: x}, a: {command: y}}\n", "1:29", "duplicate key `a`"),
        ("services: {a: }\n", "1:12", "`a` has no `command`"),
        ("services: {-a: {command: x}}\n", "1:12", "`-a` is no name of a service"),
        ("services: {'a b': {command: x}}\n", "1:12", "is no name"),
        (f"services: {{{'n' * 65}: {{command: x}}}}\n", "1:12", "a name of a service has at most 64 characters"),
        ("services: {é: {command: x}}\n", "1:12", "is no name"),
        ("services: {devrun: {command: x}}\n", "1:12", "no service can be called `devrun`"),
        ("services: {DevRun: {command: x}}\n", "1:12", "no service can be called"),
        ("services: {a-b: {command: x}, a.b: {command: y}}\n", "1:31", "share the variable `A_B_PORT`"),
        ("services: {a: {command: x}, A: {command: y}}\n", "1:29", "share the variable `A_PORT`"),
        ("services: {a-b: {command: x}, a: {command: y, ports: {b: 1}}}\n", "1:55", "share the variable"),
        ("services: {a: {command: x, port: 1}, b: {command: y, port: 1}}\n", "1:60", "same port as `a`: 1"),
        ("services: {a: {command: x, depends_on: [b]}}\n", "1:41", "depends on `b`, which is not defined"),
        ("services: {a: {command: x, depends_on: b}, b: {command: x, depends_on: {a: started}}}\n", "1:40", "`a` → `b` → `a`"),
        ("services: {a: {command: x, depends_on: {b: completed}}, b: {command: y, restart: always}}\n", "1:41", "never completes"),
        ("services: {a: {command: x, port: 1, port_env: B_PORT}, b: {command: y}}\n", "1:47", "is the variable of `b`"),
        ("procfile: Procfile\nformation: web\n", "2:12", "`formation` is wrong: `web` is no `NAME=NUMBER`"),
        ("procfile: Procfile\nformation: {web: -1}\n", "2:18", "a whole number from 0"),
        ("services: {a: {command: x, ports: {'b c': 1}}}\n", "1:36", "is no name of a port"),
        ("services: {a: {command: x, port: 1, port_env: DEVRUN_X}}\n", "1:47", "devrun's own variable"),
        ("sweep: {runtimes: [' ']}\nservices: {a: {command: x}}\n", "1:20", "would match everything"),
        ("sweep: {pidfiles: ['a/{pid}']}\nservices: {a: {command: x}}\n", "1:20", "every file whose name is a number"),
        ("sweep: {suspects: [{name: r, match: m, owner: []}]}\nservices: {a: {command: x}}\n", "1:47", "needs an owner"),
        ("sweep: {suspects: [{name: r, match: m, owner: c}, {name: r, match: n, owner: c}]}\nservices: {a: {command: x}}\n", "1:58", "two suspects are called `r`"),
        ("sweep: {registries: [{name: r, match: m, live: {pids: p, url: 'ftp://x'}}]}\nservices: {a: {command: x}}\n", "1:63", "begins with http"),
        ("sweep: {pidfiles: [x]}\nservices: {a: {command: x}}\n", "1:20", "needs `{pid}` once"),
        ("sweep: {registries: [{name: r, match: '', live: {pids: p, url: 'http://x'}}]}\nservices: {a: {command: x}}\n", "1:39", "empty"),
        ("sweep: {registries: [{name: r, match: m, live: {pids: p}}]}\nservices: {a: {command: x}}\n", "1:48", "exactly one"),
        ("sweep: {registries: [{name: r, match: m}]}\nservices: {a: {command: x}}\n", "1:22", "`live` is missing"),
        ("sweep: {suspects: [{name: r, match: ' ', owner: c}]}\nservices: {a: {command: x}}\n", "1:37", "match every process"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_at_its_place(folder, text, where, message):
    folder.write("Procfile", "web: x\n")
    error = folder.refuse(text)
    assert error.where == f"services.yaml:{where}"
    assert message in error.message


def test_several_mistakes_are_reported_at_once(folder):
    error = folder.refuse("services:\n  a: {comand: x}\n  b: {command: y, port: x}\n")
    assert [str(each.place) for each in error.problems] == ["services.yaml:2:7", "services.yaml:3:25"]
    assert "services.yaml:3:25" in error.message


def test_a_link_out_of_the_worktree_is_outside(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", os.path.join(folder.path, "link"))
    with pytest.raises(ConfigError, match="outside of the worktree"):
        folder.service("command: x\nworking_dir: link")


def test_a_folder_above_the_file_but_in_the_worktree_is_fine(folder):
    folder.write("deploy/dev.yaml", "services: {a: {command: x, working_dir: ..}}")
    project = folder.load(file="deploy/dev.yaml")
    assert project.services["a"].working_dir == folder.path


def test_port_env_outranks_port_unless_devrun_wrote_it(folder):
    text = "services: {a: {command: x, port: 3000, port_env: BASE}}"
    assert folder.load(text, environ={"BASE": "4000"}).services["a"].port == 4000
    assert folder.load(text, environ={"BASE": "4010", "DEVRUN_RUN": "r"}).services["a"].port == 3000
    assert folder.load(text, environ={"BASE": "4010", "DEVRUN_ENV": "/w"}).services["a"].port == 3000
    folder.write(".env", "BASE=5000\n")
    assert folder.load(text, environ={"BASE": "4000"}).services["a"].port == 5000


def test_an_inherited_port_is_no_base_even_when_it_is_named(folder):
    text = "services: {a: {command: x, port: 3000, port_env: PORT}}"
    assert folder.load(text, environ={"PORT": "4000"}).services["a"].port == 3000
    folder.write(".env", "PORT=5000\n")
    assert folder.load(text, environ={"PORT": "4000"}).services["a"].port == 5000


@pytest.mark.parametrize("value", ["0", "x", "70000", "-1", "3000x", "٣٠٠٠"])
def test_a_variable_that_is_no_port_is_refused(folder, value):
    text = "services: {a: {command: x, port: 3000, port_env: BASE}}"
    error = folder.refuse(text, environ={"BASE": value})
    assert "the variable `BASE` is no port" in error.message
