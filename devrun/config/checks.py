"""What is wrong between services: names that meet, ports that clash, cycles, templates of nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from devrun.config.draft import Draft
from devrun.config.problems import Problems, did_you_mean
from devrun.config.project import Condition, Place, RestartPolicy, Service
from devrun.config.template_syntax import TemplateError, references
from devrun.config.templates import check_reference, texts
from devrun.ports.arithmetic import HIGHEST
from devrun.ports.names import variable_stem

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"{NAME_PATTERN}\Z")
_PORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
RESERVED = "devrun"
MAX_NAME = 64  # longer ones make no column of a log and no name of a file


def check_project(services: Mapping[str, Service], drafts: Mapping[str, Draft], problems: Problems) -> None:
    """Add every problem that needs more than one service, or a name, to be seen."""
    _check_names(services, drafts, problems)
    _check_ports(services, drafts, problems)
    for name, service in services.items():
        _check_dependencies(service, services, drafts[name], problems)
        _check_templates(service, services, drafts[name], problems)
    _check_cycles(services, drafts, problems)


def _check_names(services: Mapping[str, Service], drafts: Mapping[str, Draft], problems: Problems) -> None:
    stems: dict[str, str] = {}
    for name, service in services.items():
        place = drafts[name].place
        if len(name) > MAX_NAME:
            problems.add(
                f"a name of a service has at most {MAX_NAME} characters, `{name[:12]}…` has {len(name)}", place
            )
            continue
        if _NAME.match(name) is None:
            hint = "a name has letters, digits, `_`, `.` and `-`, and begins with a letter or a digit"
            problems.add(f"`{name}` is no name of a service", place, hint=hint)
            continue
        if name.lower() == RESERVED:
            problems.add(f"no service can be called `{name}`: `DEVRUN_…` is devrun's own", place)
        for port_name in ("", *service.ports):
            if port_name and _PORT_NAME.match(port_name) is None:
                hint = "a name has letters, digits, `_` and `-`"
                problems.add(f"`{port_name}` is no name of a port", _key(drafts[name], "ports", port_name), hint=hint)
            stem = variable_stem(name, port_name)
            what = f"`{name}`" if not port_name else f"the port `{port_name}` of `{name}`"
            if stem in stems:
                where = place if not port_name else _key(drafts[name], "ports", port_name)
                problems.add(
                    f"{stems[stem]} and {what} would share the variable `{stem}_PORT`", where, hint="rename one"
                )
            stems.setdefault(stem, what)
    _check_port_env(services, drafts, stems, problems)


def _check_port_env(
    services: Mapping[str, Service], drafts: Mapping[str, Draft], stems: Mapping[str, str], problems: Problems
) -> None:
    taken: dict[str, str] = {f"{stem}_{suffix}": what for stem, what in stems.items() for suffix in ("PORT", "URL")}
    for name, service in services.items():
        variable = service.port_env
        if variable is None:
            continue
        place = drafts[name].where("port_env")
        if variable.startswith("DEVRUN_"):
            problems.add(f"`{variable}` is devrun's own variable", place, hint="choose another name")
        elif taken.get(variable, f"`{name}`") != f"`{name}`":
            problems.add(f"`{variable}` is the variable of {taken[variable]}", place, hint="choose another name")
        taken.setdefault(variable, f"`{name}`")


def _check_ports(services: Mapping[str, Service], drafts: Mapping[str, Draft], problems: Problems) -> None:
    holders: dict[int, str] = {}
    for name, service in services.items():
        bases = [(service.port, ("port",))] if service.port is not None else []
        for port, path in (*bases, *((base, ("ports", each)) for each, base in service.ports.items())):
            place = drafts[name].where(*path)
            if port > HIGHEST:
                problems.add(f"no port above {HIGHEST}: {port} of `{name}`", place)
            elif port in holders:
                whose = "itself" if holders[port] == name else f"`{holders[port]}`"
                problems.add(f"`{name}` has the same port as {whose}: {port}", place, hint=f"`{port + 1}`")
            holders.setdefault(port, name)


def _check_dependencies(service: Service, services: Mapping[str, Service], draft: Draft, problems: Problems) -> None:
    for index, each in enumerate(service.depends_on):
        place = _dependency_place(draft, each.service, index)
        target = services.get(each.service)
        if each.service == service.name:
            problems.add(f"`{service.name}` depends on itself", place)
        elif target is None:
            hint = did_you_mean(each.service, services)
            problems.add(f"`{service.name}` depends on `{each.service}`, which is not defined", place, hint=hint)
        elif each.condition is Condition.COMPLETED and target.restart.policy is RestartPolicy.ALWAYS:
            hint = f"`restart: on-failure` for `{each.service}`"
            problems.add(f"`{each.service}` never completes: it is always restarted", place, hint=hint)


def _dependency_place(draft: Draft, name: str, index: int) -> Place:
    value = draft.value.get("depends_on") if draft.value is not None else None
    if value is None:
        return draft.place
    if name in value.keys:
        return value.key_place(name)
    found = value.get(index)
    return found.place if found is not None else value.place


def _check_templates(service: Service, services: Mapping[str, Service], draft: Draft, problems: Problems) -> None:
    for text in texts(service):
        try:
            for reference in references(text.text, in_shell=text.in_shell):
                check_reference(reference, service, services)
        except TemplateError as error:
            value = draft.value.get(*text.path) if draft.value is not None else None
            place = draft.place if value is None else value.place_of(error.written)
            problems.add(error.message, place, hint=error.hint)


def _check_cycles(services: Mapping[str, Service], drafts: Mapping[str, Draft], problems: Problems) -> None:
    done: set[str] = set()
    for name in services:
        cycle = next(_cycles(name, services, done), None)
        if cycle is not None:
            words = " → ".join(f"`{each}`" for each in (*cycle, cycle[0]))
            target = (*cycle, cycle[0])[1]
            problems.add(f"the services wait for each other: {words}", _dependency_place(drafts[cycle[0]], target, 0))
            return


def _cycles(start: str, services: Mapping[str, Service], done: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the first cycle that is reached from `start`; itself is told elsewhere."""
    path: list[str] = []
    stack = [(start, False)]
    while stack:
        name, leave = stack.pop()
        if leave:
            done.add(path.pop())
        elif name in path:
            yield tuple(path[path.index(name) :])
            return
        elif name not in done and name in services:
            path.append(name)
            stack.append((name, True))
            stack.extend((each.service, False) for each in services[name].depends_on if each.service != name)


def _key(draft: Draft, section: str, name: str) -> Place:
    value = draft.value.get(section) if draft.value is not None else None
    return draft.place if value is None else value.key_place(name)
