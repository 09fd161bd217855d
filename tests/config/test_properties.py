"""Over generated configurations: what is written is read back, and any text gives a place."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from devrun.config.document import read_document
from devrun.config.files import Source
from devrun.config.load import load_project
from devrun.config.project import (
    Condition,
    Dependency,
    OnForeign,
    PortSettings,
    Project,
    Ready,
    ReadyKind,
    Registry,
    Restart,
    RestartPolicy,
    Service,
    Stdin,
    Stop,
    Suspect,
    SweepSettings,
)
from devrun.config.schema import services_schema
from devrun.config.value import unwrap
from devrun.errors import ConfigError
from devrun.ports.names import variable_stem
from tests.config.test_services_yaml import DESIGN
from tests.support.projects import render_project
from tests.support.readme import ROOT

SCHEMA = jsonschema.Draft202012Validator(services_schema())

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(lambda name: name.lower() != "devrun")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(
    lambda text: text.strip() and "${" not in text
)
commands = texts | st.lists(texts, min_size=1, max_size=3).map(tuple)
seconds = st.integers(1, 600).map(float) | st.sampled_from([0.25, 1.5])
variables = st.from_regex(r"[A-CE-Z_][A-Z_]{0,6}", fullmatch=True)
everyone = st.lists(texts, max_size=2, unique=True).map(tuple)


@st.composite
def readiness(draw, port):
    kinds = [ReadyKind.STARTED, ReadyKind.LOG, ReadyKind.COMMAND, *([ReadyKind.PORT, ReadyKind.HTTP] if port else [])]
    kind = draw(st.sampled_from(kinds))
    if kind is ReadyKind.STARTED:
        return Ready() if port else Ready(timeout=draw(seconds))
    target = {
        ReadyKind.PORT: st.just(""),
        ReadyKind.HTTP: st.just("/up"),
        ReadyKind.LOG: st.sampled_from(["ready", r"in \d+ ms", "[\"']:"]),
        ReadyKind.COMMAND: commands,
    }[kind]
    return Ready(kind, draw(target), draw(seconds))


restarts = st.just(Restart()) | st.builds(
    Restart,
    st.sampled_from([RestartPolicy.ON_FAILURE, RestartPolicy.ALWAYS]),
    st.none() | st.integers(0, 9),
    seconds,
    seconds,
)
stops = st.builds(Stop, st.sampled_from([2, 1, 15, 3]).map(signal.Signals), seconds)
sweeps = st.builds(
    SweepSettings,
    runtimes=everyone,
    paths=everyone,
    pidfiles=st.lists(st.sampled_from(["a/b-{pid}", "x.{pid}.lock"]), unique=True).map(tuple),
    registries=st.lists(
        st.builds(Registry, name=names, match=texts, pids=texts, command=commands, grace=seconds, allow_hosts=everyone),
        max_size=2,
        unique_by=lambda each: each.name,
    ).map(tuple),
    suspects=st.lists(
        st.builds(Suspect, names, texts, st.lists(texts, min_size=1, max_size=2, unique=True).map(tuple), texts),
        max_size=2,
        unique_by=lambda each: each.name,
    ).map(tuple),
    budget=seconds,
)


@st.composite
def projects(draw, root="/w"):
    services = {}
    free = draw(st.lists(st.integers(1, 65535), min_size=12, max_size=12, unique=True))
    for name in draw(st.lists(names, min_size=1, max_size=4, unique_by=variable_stem)):
        port = draw(st.none() | st.just(free.pop()))
        depends = draw(st.lists(st.sampled_from(sorted(services)), max_size=2, unique=True)) if services else []
        services[name] = Service(
            name=name,
            command=draw(commands),
            working_dir=root,
            port=port,
            ports=draw(st.just({}) | st.just({"q9": free.pop()})),
            fixed=bool(port) and draw(st.booleans()),
            environment=draw(st.dictionaries(variables, texts | st.just(""), max_size=3)),
            depends_on=tuple(
                Dependency(each, draw(st.sampled_from([Condition.STARTED, Condition.READY]))) for each in depends
            ),
            ready=draw(readiness(port)),
            restart=draw(restarts),
            stop=draw(stops),
            match=draw(st.none() | texts),
            on_foreign=draw(st.sampled_from(OnForeign)),
            profiles=draw(everyone),
            essential=draw(st.booleans()),
            tty=draw(st.booleans()),
            stdin=draw(st.sampled_from(Stdin)),
        )
    return Project(
        root=root,
        file=f"{root}/services.yaml",
        services=services,
        ports=PortSettings(draw(st.integers(1, 99))),
        sweep=draw(sweeps),
    )


@pytest.fixture(scope="module")
def root():
    path = os.path.realpath(tempfile.mkdtemp(prefix="dr-config-"))
    os.mkdir(os.path.join(path, ".git"))
    yield path
    shutil.rmtree(path)


def load(root, text):
    with open(os.path.join(root, "services.yaml"), "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return load_project(start=root, environ={})


def without_places(project):
    services = {name: msgspec.structs.replace(each, place=None) for name, each in project.services.items()}
    registries = tuple(msgspec.structs.replace(each, place=None) for each in project.sweep.registries)
    sweep = msgspec.structs.replace(project.sweep, registries=registries)
    return msgspec.structs.replace(project, services=services, sweep=sweep)


@given(projects())
def test_what_is_rendered_is_read_back_and_passes_the_schema(root, project):
    services = {name: msgspec.structs.replace(each, working_dir=root) for name, each in project.services.items()}
    project = msgspec.structs.replace(project, root=root, file=f"{root}/services.yaml", services=services)
    text = render_project(project)
    assert without_places(load(root, text)) == project
    SCHEMA.validate(unwrap(read_document(Source("f", text))))


@given(st.data())
def test_a_damaged_file_gives_a_project_or_an_error_with_a_line(root, data):
    start = data.draw(st.integers(0, len(DESIGN)))
    end = data.draw(st.integers(start, min(len(DESIGN), start + 40)))
    damage = data.draw(st.text(alphabet="abz:-{}[],&*!|>'\"#%@ \n\t?<~0${}.", max_size=8))
    assert outcome(root, DESIGN[:start] + damage + DESIGN[end:])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | names,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(names, children, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "command",
        "working_dir",
        "port",
        "ports",
        "port_env",
        "fixed",
        "environment",
        "depends_on",
        "ready",
        "restart",
        "max_restarts",
        "backoff",
        "stop",
        "match",
        "on_foreign",
        "profiles",
        "essential",
        "tty",
        "stdin",
        "x-y",
        "nonsense",
    ]
)


@given(st.dictionaries(names, st.dictionaries(keys, values, max_size=5) | values, max_size=3))
@example({"a": {"command": ["x"], "ready": {"port": False}}})
@example({"a": {"command": "x", "ready": {"port": -1}}})
@example({"a": {"command": "x", "restart": {"policy": True}, "stop": {"signal": 10**30}}})
def test_any_value_of_any_key_gives_a_project_or_an_error_with_a_line(root, services):
    assert outcome(root, yaml.safe_dump({"services": services}, allow_unicode=True))


sections = st.sampled_from(["ports", "env_file", "procfile", "formation", "sweep", "services", "x-a", "nonsense"])


@given(
    st.dictionaries(
        sections,
        values
        | st.dictionaries(
            st.sampled_from(
                ["stride", "slot", "runtimes", "paths", "registries", "pidfiles", "suspects", "budget", "path"]
            ),
            values,
        ),
        max_size=3,
    )
)
def test_any_value_of_any_section_gives_a_project_or_an_error_with_a_line(root, document):
    assert outcome(root, yaml.safe_dump(document, allow_unicode=True))


def outcome(root, text):
    """Load; say whether it gave a project or an error that has a place and a message."""
    try:
        load(root, text)
    except ConfigError as error:
        return bool(error.message) and error.where is not None
    return True


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("aA=# '\"\n$\\x", max_size=40))
def test_any_env_file_gives_variables_or_an_error_with_a_line(root, text):
    path = os.path.join(root, ".env")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    try:
        assert outcome(root, "services: {a: {command: x}}\n")
    finally:
        os.unlink(path)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("aA: #\n-_.", max_size=40))
def test_any_procfile_gives_services_or_an_error_with_a_line(root, text):
    with open(os.path.join(root, "Procfile"), "w", encoding="utf-8", newline="") as file:
        file.write(text)
    assert outcome(root, "procfile: Procfile\n")


@pytest.mark.parametrize("path", ["services.yaml", "examples/node-monorepo/services.yaml"])
def test_the_schema_accepts_the_files_of_this_repository(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        SCHEMA.validate(yaml.safe_load(file))


def test_the_schema_accepts_the_file_of_the_design_and_refuses_slips():
    SCHEMA.validate(unwrap(read_document(Source("f", DESIGN))))
    for services in ({"a": {"comand": "x"}}, {"-a": {"command": "x"}}, {"a": {"command": "x", "port": 0}}):
        assert not SCHEMA.is_valid({"services": services})
