"""A checked document becomes the Project: Procfile lines, entries, variables and settings together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from devrun.config.checks import check_project
from devrun.config.draft import Draft
from devrun.config.entry import Folders, build_service
from devrun.config.envfiles import DEFAULT, Variable, Wanted, read_env_files
from devrun.config.files import read_source, shown
from devrun.config.overlay import merge, without_nothing
from devrun.config.problems import Problems, did_you_mean
from devrun.config.procfile import PORT_STEP, Formation, Instance, expand, parse_formation, read_procfile
from devrun.config.project import Condition, Dependency, PortSettings, Project, Service
from devrun.config.settings import sweep_of
from devrun.config.shape import EnvFile, PortsEntry, ServiceEntry, ServicesFile
from devrun.config.value import Value, unwrap
from devrun.errors import ConfigError, UsageError
from devrun.ports.names import wishes


class Inputs(Struct, frozen=True):
    """What a Project is made of.  `start` is the folder that paths are shown from.

    `procfile` is the path of a Procfile that was asked for or found, `formation` the text of the
    command line, `environ` the caller's environment.
    """

    folders: Folders
    file: str
    start: str
    environ: Mapping[str, str]
    procfile: str | None = None
    formation: str | None = None


def build_project(document: Value, inputs: Inputs, problems: Problems) -> Project:
    """Return the Project of a tidied document; raise InvalidConfigError with everything wrong."""
    document = without_nothing(document)
    try:
        # msgspec looks at every type below before it converts: for a Procfile alone there is nothing to convert.
        typed = msgspec.convert(unwrap(document), ServicesFile) if document.data else ServicesFile()
    except msgspec.ValidationError:
        from devrun.config.explain import explain

        explain(document, ServicesFile, "", problems)
        problems.raise_any()
        raise
    variables = read_env_files(inputs.folders.root, _env_files(typed, document), inputs.start, problems)
    known = _known_variables(inputs.environ, variables)
    drafts = _drafts(typed, document, inputs, problems)
    services = {each.name: build_service(each, inputs.folders, known, problems) for each in drafts}
    services = _with_tasks(_with_instances(services, drafts))
    problems.raise_any()
    check_project(services, {each.name: each for each in drafts}, problems)
    sweep = sweep_of(typed.sweep, document, problems)
    problems.raise_any()
    ports = typed.ports or PortsEntry()
    return Project(
        root=inputs.folders.root,
        file=inputs.file,
        services=services,
        ports=PortSettings(ports.stride, ports.slot),
        env_files={name: each.value for name, each in variables.items()},
        env_places={name: each.place for name, each in variables.items()},
        sweep=sweep,
    )


def _known_variables(environ: Mapping[str, str], variables: Mapping[str, Variable]) -> dict[str, str]:
    """Return what `port_env` may read: in an environment that devrun itself wrote, what it noted of the user's."""
    return {**wishes(environ), **{name: each.value for name, each in variables.items()}}


def _env_files(typed: ServicesFile, document: Value) -> Iterable[Wanted]:
    written = typed.env_file
    if written is None:
        return (Wanted(DEFAULT, required=False),)
    value = document.get("env_file")
    listed = written if isinstance(written, list) else [written]
    wanted = []
    for index, each in enumerate(listed):
        place = document.get("env_file", index) if isinstance(written, list) else value
        path = each.path if isinstance(each, EnvFile) else each
        required = not isinstance(each, EnvFile) or each.required in (True, "yes", "on")
        wanted.append(Wanted(path, required, place.place if place is not None else document.place))
    return wanted


def _drafts(typed: ServicesFile, document: Value, inputs: Inputs, problems: Problems) -> list[Draft]:
    """Return a draft of every service: the Procfile's in its order, then those only services.yaml has."""
    entries = typed.services or {}
    values = document.get("services")
    taken = {int(each.port) for each in entries.values() if each is not None and each.port is not None}
    drafts: list[Draft] = []
    used: set[str] = set()
    lines = _instances(typed, document, inputs, problems)
    for each in lines:
        keys = [key for key in (each.line.name, each.name) if key in entries]
        used.update(keys)
        drafts.append(_procfile_draft(each, keys, values, taken))
    for name, entry in entries.items():
        if name not in used and values is not None:
            value = values.get(name)
            entry = entry or ServiceEntry()  # noqa: PLW2901 - a key without a value has no keys
            meant = None
            if lines and entry.command is None:
                meant = did_you_mean(name, {word for each in lines for word in (each.line.name, each.name)})
            drafts.append(Draft(name, values.key_place(name), entry, value, meant=meant))
    if not drafts and not len(problems):
        hint = "`services: {web: {command: …, port: 3000}}`, or `devrun init`"
        problems.add("no service is defined", document.place, hint=hint)
    return drafts


def _procfile_draft(each: Instance, keys: list[str], values: Value | None, taken: set[int]) -> Draft:
    """Return the draft of a Procfile's instance: `web` of services.yaml counts for each, `web.2` for one."""
    entry, value = ServiceEntry(), None
    for key in dict.fromkeys(keys):
        found = values.get(key) if values is not None else None
        if found is not None and found.data is not None:
            value = found if value is None else merge(value, found)
    if value is not None:
        entry = msgspec.convert(unwrap(value), ServiceEntry)
    port = each.port
    while port in taken and entry.port is None:
        port += PORT_STEP
    taken.add(port)
    port_place = values.key_place(keys[-1]) if values is not None and keys else each.line.place
    return Draft(each.name, port_place, entry, value, each.line.command, port, each.nth)


def _instances(typed: ServicesFile, document: Value, inputs: Inputs, problems: Problems) -> list[Instance]:
    path = inputs.procfile
    named = document.get("procfile")
    if typed.procfile is not None:
        path = os.path.join(inputs.folders.root, typed.procfile)
    formation = _formation(typed, document, inputs, problems)
    if path is None:
        if formation.counts:
            hint = "`procfile: Procfile`, or `-f Procfile`"
            place = formation.place or document.place
            problems.add("a formation counts the lines of a Procfile, and there is none", place, hint=hint)
        return []
    if named is not None and not os.path.lexists(path):
        problems.add(f"the Procfile `{typed.procfile}` does not exist", named.place)
        return []
    name = shown(path, inputs.start)
    try:
        source = read_source(path, name=name)
    except ConfigError as error:
        if named is None or error.where != name:  # asked for by `-f`, or it has a place in the file
            raise
        problems.add(error.message, named.place)
        return []
    return expand(read_procfile(source, problems), formation, problems)


def _formation(typed: ServicesFile, document: Value, inputs: Inputs, problems: Problems) -> Formation:
    """Return the formation: of the command line, else of services.yaml."""
    if inputs.formation is not None:
        try:
            return Formation(parse_formation(inputs.formation))
        except ValueError as error:
            raise UsageError(f"the formation is wrong: {error}", hint="`web=2,worker=1`") from error
    value = document.get("formation")
    if value is None:
        return Formation({})
    if isinstance(typed.formation, dict):
        return Formation(typed.formation, value.place)
    try:
        return Formation(parse_formation(typed.formation or ""), value.place)
    except ValueError as error:
        problems.add(f"`formation` is wrong: {error}", value.place, hint="`formation: web=2`")
        return Formation({}, value.place)


def _with_instances(services: Mapping[str, Service], drafts: Iterable[Draft]) -> dict[str, Service]:
    """Let a dependency on `web` mean all of `web.1`, `web.2`, when it was a Procfile's line."""
    families: dict[str, list[str]] = {}
    for draft in drafts:
        base, _, number = draft.name.rpartition(".")
        if draft.command is not None and base and number.isdigit():
            families.setdefault(base, []).append(draft.name)
    if not families:
        return dict(services)
    return {
        name: msgspec.structs.replace(
            service,
            depends_on=tuple(
                Dependency(instance, each.condition)
                for each in service.depends_on
                for instance in families.get(each.service, [each.service])
            ),
        )
        for name, service in services.items()
    }


def _with_tasks(services: Mapping[str, Service]) -> dict[str, Service]:
    """Mark who is awaited as `completed`: its exit 0 is expected, even where who awaits it is not started."""
    conditions = [each for service in services.values() for each in service.depends_on]
    tasks = {each.service for each in conditions if each.condition is Condition.COMPLETED}
    return {
        name: msgspec.structs.replace(service, completes=True) if name in tasks else service
        for name, service in services.items()
    }
