"""Templates: which `${` are ours, which are the shell's, which are mistakes."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.config.template_syntax import Reference, TemplateError, parse
from devrun.config.templates import TemplateFacts, expand_service
from devrun.errors import ConfigError
from devrun.model import PortSet, Worktree

FACTS = TemplateFacts(
    worktree=Worktree(root="/w", identity="/w/.git", repository="/r", is_main=False, slug="feature-x"),
    ports=PortSet(2, 20, {"web": {"": 3020}, "api": {"": 3021, "debug": 9249}, "web.1": {"": 5020}}),
    environment={"HOME": "/home/x", "EMPTY": "", "A": "a b"},
)
SERVICES = """
services:
  web: {{command: {command}, port: 3000, environment: {{V: {value}}}}}
  api: {{command: x, port: 3001, ports: {{debug: 9229}}}}
  plain: {{command: x}}
"""


def expand(folder, command="x", value="x"):
    def written(text):
        return text if text.startswith("[") else "'" + text.replace("'", "''") + "'"

    text = SERVICES.format(command=written(command), value=written(value))
    return expand_service(folder.load(text).services["web"], FACTS)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${PORT}", "3020"),
        ("${offset}", "20"),
        ("${api.port}", "3021"),
        ("${api.url}/x", "http://localhost:3021/x"),
        ("${api.ports.debug}", "9249"),
        ("app_${worktree.slug}_${worktree.slot}", "app_feature-x_2"),
        ("${env.HOME}", "/home/x"),
        ("${env.NOPE:-x y}", "x y"),
        ("${env.EMPTY:-d}", "d"),
        ("${env.EMPTY}", ""),
        ("${env.NOPE:-db_${worktree.slug}}", "db_feature-x"),
        ("${env.NOPE:-${env.NOPE2:-${api.port}}}", "3021"),
        ("${env.NOPE:-}", ""),
        ("$${PORT}", "${PORT}"),
        ("$$ $1 $PORT {x} }", "$$ $1 $PORT {x} }"),
    ],
)
def test_templates_are_filled_in_commands_lists_and_values(folder, text, filled):
    assert expand(folder, command=f"run {text}").command == f"run {filled}"
    assert expand(folder, value=text).environment == {"V": filled}
    assert expand(folder, command="[run, '" + text + "']").command == ("run", filled)


@pytest.mark.parametrize(
    "text",
    [
        "${HOME}", "${VAR:-x}", "${VAR:-a.b}", "${#x}", "$(echo ${x})", "${x%.*}", "${x/a.b/c}", "${HOST-127.0.0.1}",
        "${!x}", "${x:?no such.thing}", "${1}", "${@}", "${PORT:-3000}", "${PORT%0}", "${arr[0]}", "awk '{print $1}'",
        "${x:+${y}}", "for i in 1 2; do echo ${i}; done", "${offset:-3}",
    ],
)  # fmt: skip
def test_what_is_the_shell_s_passes_through_a_text_command(folder, text):
    assert expand(folder, command=text).command == text


def test_a_template_inside_a_shell_expansion_is_filled(folder):
    assert expand(folder, command="${DB:-app_${worktree.slug}}").command == "${DB:-app_feature-x}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("${HOME}", "`${env.HOME}`"),
        ("${HOME:-x}", "`${env.HOME:-x}`"),
        ("${x%y}", "`${env.x}`"),
        ("${#x}", "`$${`"),
        ("${}", "`$${`"),
        ("a ${", "`$${`"),
    ],
)
def test_what_no_shell_reads_is_an_error_in_lists_and_values(folder, text, hint):
    for options in ({"value": text}, {"command": "[run, '" + text + "']"}):
        with pytest.raises(ConfigError) as caught:
            expand(folder, **options)
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${api.prot}", "unknown template `${api.prot}`", "did you mean `api.port`?"),
        ("${apo.port}", "unknown template", "did you mean `api.port`?"),
        ("${worktree.slgu}", "unknown template", "did you mean `worktree.slug`?"),
        ("${worktree.x.y}", "unknown template", "did you mean"),
        ("${api.ports.x}", "no port named `x`", "known are"),
        ("${plain.port}", "`plain` has no port", "give `plain` a `port:`"),
        ("${plain.url}", "`plain` has no port", None),
        ("${env.1x}", "no name of a variable", None),
        ("${env.X-y}", "no name of a variable", ":-default"),
        ("${env.X:+y}", "is no template", None),
        ("${api.port", "is not closed", None),
        ("${env.X:-${api.port}", "is not closed", None),
        ("${api.port:-3}", "only `${env.NAME}` can have a default", "`${api.port}`"),
        ("${api.}", "unknown template", None),
    ],
)
def test_a_wrong_template_is_an_error_everywhere(folder, text, message, hint):
    for options in ({"value": text}, {"command": f"run {text}"}):
        with pytest.raises(ConfigError) as caught:
            expand(folder, **options)
        assert message in caught.value.message
        assert hint is None or hint in caught.value.hint


def test_port_of_a_service_without_one_is_an_error_when_loading(folder):
    error = folder.refuse("services:\n  a:\n    command: |\n      one\n      two --port ${PORT}\n")
    assert error.where == "services.yaml:5:18"


def test_the_place_of_a_wrong_template_is_the_template(folder):
    error = folder.refuse('services:\n  a: {command: [x, "éé ${b.port}"]}\n')
    assert error.where == "services.yaml:2:24"


def test_a_variable_that_is_not_set_is_an_error_when_starting(folder):
    with pytest.raises(ConfigError, match="`NOPE` is not set") as caught:
        expand(folder, value="${env.NOPE}")
    assert caught.value.where == "services.yaml:3:3"


def test_ready_commands_and_urls_are_filled(folder):
    text = "services: {web: {command: x, port: 1, ready: {%s}}}"
    for ready, target in (
        ("http: '${api.url}/x'", "http://localhost:3021/x"),
        ("command: 'c ${PORT}'", "c 3020"),
        ("command: [c, '${PORT}']", ("c", "3020")),
    ):
        service = folder.load(text % ready + "\n" if "api" not in ready else API % ready).services["web"]
        assert expand_service(service, FACTS).ready.target == target


def test_what_is_awaited_is_filled_in_with_the_port_of_the_lease(folder):
    for ready, target in (
        ("http: /up", "http://localhost:3020/up"),
        ("port: true", "3020"),
        ("port: debug", "9250"),
    ):
        text = "services: {web: {command: x, port: 1, ports: {debug: 2}, ready: {%s}}}"
        service = folder.load(text % ready)
        facts = TemplateFacts(FACTS.worktree, PortSet(2, 20, {"web": {"": 3020, "debug": 9250}}))
        assert expand_service(service.services["web"], facts).ready.target == target


def test_an_address_that_no_template_can_save_is_an_error_when_starting(folder):
    text = "services: {web: {command: x, ready: {http: 'http://${env.A}/'}}}"
    with pytest.raises(ConfigError, match="`web`: `http://a b/` is not on this machine"):
        expand_service(folder.load(text).services["web"], FACTS)


API = "services: {api: {command: y, port: 2}, web: {command: x, port: 1, ready: {%s}}}"


def test_a_formation_s_base_name_means_its_first_instance(folder):
    folder.write("Procfile", "web: x\nworker: y ${web.port}\n")
    project = folder.load(formation="web=2")
    facts = TemplateFacts(FACTS.worktree, PortSet(0, 0, {"web.1": {"": 5000}, "web.2": {"": 5001}}))
    assert expand_service(project.services["worker"], facts).command == "y 5000"


@given(st.text(alphabet="${}:-.aPORTenv#%\\' \n", max_size=40), st.booleans())
def test_any_text_is_parsed_or_refused(text, in_shell):
    try:
        parts = parse(text, in_shell=in_shell)
    except TemplateError as error:
        assert error.message  # noqa: PT017 - either is fine
        return
    written = "".join(part.written if isinstance(part, Reference) else part.replace("${", "\0") for part in parts)
    assert written.replace("\0", "${") in {text, text.replace("$${", "${")} or "$${" in text


@given(st.text(alphabet="ab{}$#:-%'\" ", max_size=30).filter(lambda text: "." not in text and "$${" not in text))
def test_a_text_command_without_templates_is_never_changed(text):
    assert "".join(map(str, parse(text, in_shell=True))) == text


def test_a_shell_reads_what_is_left_to_it(folder):
    command = expand(folder, command="X=a.b.c; echo ${X%.*} ${#X} ${NOPE:-d.e} ${PORT}").command
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout == "a.b 5 d.e 3020\n"
