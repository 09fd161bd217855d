"""What is allowed but probably not meant: the warnings of `devrun check`, and what only it finds wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devrun.config.frameworks import find_server
from devrun.config.project import Place, Project, Service
from devrun.config.scripts import called_script
from devrun.ports.arithmetic import HIGHEST, LOWEST, NEAR_SLOTS, REFUSED_BY_BROWSERS
from devrun.ports.names import variable_stem


class Advice(NamedTuple):
    """A warning: where, what, and what helps."""

    place: Place | None
    message: str
    hint: str | None


def advise(project: Project) -> tuple[Advice, ...]:
    """Return every warning about a project that loaded well, in the order of the rules below."""
    return tuple(advice for rule in RULES for advice in rule(project))


def wrong_expressions(project: Project) -> Iterator[Advice]:
    """Yield the registries whose JMESPath is none: an error, which loading a project is too cheap to find."""
    if not project.sweep.registries:
        return
    import jmespath
    from jmespath.exceptions import JMESPathError

    for registry in project.sweep.registries:
        try:
            jmespath.compile(registry.pids)
        except (JMESPathError, RecursionError) as error:
            reason = (str(error) or "it cannot be read").splitlines()[0].rstrip(":.")
            message = f"`pids` of the registry `{registry.name}` is no JMESPath: {reason}"
            yield Advice(registry.place, message, '`pids: "terminals[].pid"`')


def _aliases(project: Project) -> Iterator[Advice]:
    """Bases that meet when one is moved by whole slots: such slots cannot be used side by side."""
    stride = project.ports.stride
    bases = sorted(
        (base, label, service)
        for service in project.services.values()
        if service.port_promised and not service.fixed
        for label, base in _bases(service)
    )
    taken = {base for base, _, _ in bases}
    for index, (base, label, service) in enumerate(bases):
        for other, other_label, _ in bases[:index]:
            slots, rest = divmod(base - other, stride)
            if rest == 0 and slots <= NEAR_SLOTS:
                free = _unaliased(base, taken, stride)
                hint = f"`{free}` instead of `{base}` shares no port with another slot" if free else "a larger `stride`"
                apart = f"{slots} slot{'s' if slots > 1 else ''} apart"
                message = f"{label} {base} is {other_label} {other} of slot {slots}: two worktrees {apart} clash"
                yield Advice(service.place, f"{message}, so one of the slots stays unused", hint)
                break


def _unaliased(base: int, taken: set[int], stride: int) -> int | None:
    remainders = {each % stride for each in taken}
    return next((base + step for step in range(1, stride) if (base + step) % stride not in remainders), None)


def _bad_bases(project: Project) -> Iterator[Advice]:
    for service in project.services.values():
        for label, base in _bases(service):
            if base in REFUSED_BY_BROWSERS:
                yield Advice(service.place, f"browsers refuse port {base} ({label})", f"`{base + 1}`")
            elif base < LOWEST:
                hint = f"`{base + 3000}`: ports below {LOWEST} may need root"
                yield Advice(service.place, f"port {base} ({label}) is privileged", hint)


def _ignored_ports(project: Project) -> Iterator[Advice]:
    """Servers that do not read PORT, where the command does not hand it to them."""
    for service in project.services.values():
        if service.port is None or not service.port_promised:
            continue
        if _mentions_port(service):
            continue
        call = called_script(service.command, service.working_dir, project.root)
        line = service.command if isinstance(service.command, str) else " ".join(service.command)
        script = call.script if call is not None else line
        server = find_server(script)
        if server is None or (call is not None and re.search(r"\$\{?PORT\b", script)):
            continue
        name = " ".join(server.words)
        dashes = " --" if call is not None and call.needs_dashes and " -- " not in f"{line} " else ""
        hint = f"`command: {line}{dashes} {server.flag}`"
        if isinstance(service.command, tuple):
            words = (*service.command, *dashes.split(), *server.flag.split())
            hint = f"`command: [{', '.join(map(_element, words))}]`"
        yield Advice(service.place, f"`{name}` of `{service.name}` does not read PORT", hint)


def _element(word: str) -> str:
    """Return a word as an element of a YAML list: `${PORT}` needs quotes there, `{` opens a mapping."""
    return word if re.fullmatch(r"[\w./@=-]+", word) else json.dumps(word, ensure_ascii=False)


def _mentions_port(service: Service) -> bool:
    command = service.command if isinstance(service.command, str) else " ".join(service.command)
    wanted = {"PORT", f"{service.name}.port", service.port_env or "PORT", f"{variable_stem(service.name)}_PORT"}
    names = "|".join(re.escape(each) for each in wanted)
    return re.search(rf"\$(?:\{{)?(?:env\.)?(?:{names})\b", command) is not None


def _written_ports(project: Project) -> Iterator[Advice]:
    """Ports as numbers in a command, or in the script it runs: right in the main checkout only."""
    moving = [each for each in project.services.values() if each.port_promised and each.port and not each.fixed]
    for service in project.services.values():
        if service.fixed:
            continue
        command = service.command if isinstance(service.command, str) else " ".join(service.command)
        call = called_script(service.command, service.working_dir, project.root)
        numbers, numbers_of_script = _numbers(command), set() if call is None else _numbers(call.script)
        for other in moving:
            template = "${PORT}" if other is service else f"${{{other.name}.port}}"
            if other.port in numbers:
                message = f"the command of `{service.name}` has {other.port} in it, the port of the main checkout only"
                yield Advice(service.place, message, f"`{template}` instead of `{other.port}`")
            elif call is not None and other.port in numbers_of_script:
                message = f"the script of `{service.name}` has {other.port} in it: `{call.script}`"
                variable = "$PORT" if other is service else f"${variable_stem(other.name)}_PORT"
                hint = f"`{variable}` instead of `{other.port}` in package.json"
                if f"PORT={other.port}" in call.script:
                    hint = f"take `PORT={other.port}` out, or use {hint}"
                yield Advice(service.place, message, hint)


def _numbers(command: str) -> set[int]:
    """Return what may be a port in a command: a number of its own, or one after `:` or `=`."""
    found = re.findall(r"[:=]([1-9][0-9]*)\b|(?<![\w.-])([1-9][0-9]*)(?![\w.])", command)
    return {int(after or alone) for after, alone in found if len(after or alone) <= len(str(HIGHEST))}


def _unread_dollars(project: Project) -> Iterator[Advice]:
    """`$PORT` where no shell reads it."""
    for service in project.services.values():
        elements = service.command if isinstance(service.command, tuple) else ()
        # A shell in a list (`[sh, -c, …]`) does read it.
        if elements[1:2] == ("-c",):
            elements = ()
        for text in (*elements, *service.environment.values()):
            found = re.search(r"\$(PORT|[A-Z0-9_]+_(?:PORT|URL))\b", text)
            if found is not None:
                name = "PORT" if found[1] == "PORT" else f"env.{found[1]}"
                message = f"`{found[0]}` of `{service.name}` is read by no shell: it stays as it is"
                yield Advice(service.place, message, f"`${{{name}}}`")


def _colliding_variables(project: Project) -> Iterator[Advice]:
    """Variables of `.env` that devrun sets itself, and PORT set by hand."""
    stems = {
        variable_stem(service.name, name): service.name
        for service in project.services.values()
        for name, _ in _named(service)
    }
    for name in project.env_files:
        place = project.env_places.get(name)
        if name == "PORT":
            yield Advice(place, "`PORT` here is not used: each service gets its own", "`port:` of the service")
        elif name.startswith("DEVRUN_"):
            yield Advice(place, f"`{name}` is devrun's own variable", "take it out")
        elif name.endswith(("_PORT", "_URL")) and name.rpartition("_")[0] in stems:
            owner = stems[name.rpartition("_")[0]]
            if project.services[owner].port_env != name:
                instead = f", or `port_env: {name}` to take the port from it" if name.endswith("_PORT") else ""
                yield Advice(place, f"`{name}` here is not used: devrun sets it for `{owner}`", f"take it out{instead}")
    for service in project.services.values():
        if "PORT" in service.environment and "${PORT}" not in service.environment["PORT"]:
            message = (
                f"`environment` of `{service.name}` sets PORT: devrun waits for another port than it may listen on"
            )
            yield Advice(service.place, message, "`port:` instead")


def _bases(service: Service) -> Iterator[tuple[str, int]]:
    for name, base in _named(service):
        yield (f"`{service.name}.{name}`" if name else f"`{service.name}`"), base


def _named(service: Service) -> Iterator[tuple[str, int]]:
    if service.port is not None:
        yield "", service.port
    yield from service.ports.items()


RULES: tuple[Callable[[Project], Iterator[Advice]], ...] = (
    _aliases,
    _bad_bases,
    _ignored_ports,
    _written_ports,
    _unread_dollars,
    _colliding_variables,
)
