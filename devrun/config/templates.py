"""`${api.port}` and its kin: found and checked when the file is loaded, filled in when a service starts.

`${PORT}`, `${offset}`, `${api.port}`, `${api.url}`, `${api.ports.debug}`, `${worktree.slug}`,
`${worktree.slot}`, `${env.NAME:-default}`; the grammar is in `template_syntax`.  A default is taken
when the variable is not set or empty, as in the shell.  A name that cannot be known when the file
is loaded is only `${env.NAME}`; that is a ConfigError when the service starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from devrun.config.problems import did_you_mean
from devrun.config.project import ReadyKind, Service
from devrun.config.template_syntax import OFFSET, PORT, Reference, Template, TemplateError, parse
from devrun.errors import ConfigError
from devrun.model import PortSet, Worktree

SLUG, SLOT = "worktree.slug", "worktree.slot"
_KNOWN_WORDS = (OFFSET, SLUG, SLOT)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class TemplateFacts(Struct, frozen=True):
    """What templates are filled with.  `environment` is what `${env.NAME}` reads."""

    worktree: Worktree
    ports: PortSet
    environment: Mapping[str, str] = {}


class Text(Struct, frozen=True):
    """A text of a service that may contain templates, and the path of keys where it was written."""

    path: tuple[str | int, ...]
    text: str
    in_shell: bool


def expand_service(service: Service, facts: TemplateFacts) -> Service:
    """Return the service with every template filled in; `${env.NAME}` that is not set is a ConfigError.

    `ready.target` of PORT is the number then, and of HTTP the whole URL.
    """

    def fill(text: str, *, in_shell: bool = False) -> str:
        return _expand(text, service, facts, in_shell=in_shell)

    def fill_command(command: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return fill(command, in_shell=True) if isinstance(command, str) else tuple(map(fill, command))

    ready = service.ready
    if ready.kind is ReadyKind.COMMAND:
        ready = msgspec.structs.replace(ready, target=fill_command(ready.target))
    elif ready.kind is ReadyKind.HTTP:
        ready = msgspec.structs.replace(ready, target=_url(fill(str(ready.target)), service, facts))
    elif ready.kind is ReadyKind.PORT:
        number = facts.ports.port(service.name, str(ready.target))
        ready = msgspec.structs.replace(ready, target="" if number is None else str(number))
    return msgspec.structs.replace(
        service,
        command=fill_command(service.command),
        environment={name: fill(value) for name, value in service.environment.items()},
        ready=ready,
    )


def _url(written: str, service: Service, facts: TemplateFacts) -> str:
    from devrun.config.httptarget import parse_target

    try:
        return str(parse_target(written, facts.ports.port(service.name)))
    except ConfigError as error:
        where = str(service.place) if service.place else None
        raise ConfigError(f"`{service.name}`: {error.message}", hint=error.hint, where=where) from error


def texts(service: Service) -> Iterator[Text]:
    """Yield every text of a service in which templates are filled in."""
    yield from _command_texts(("command",), service.command)
    for name, value in service.environment.items():
        yield Text(("environment", name), value, in_shell=False)
    if service.ready.kind is ReadyKind.COMMAND:
        yield from _command_texts(("ready", "command"), service.ready.target)
    elif service.ready.kind is ReadyKind.HTTP and isinstance(service.ready.target, str):
        yield Text(("ready", "http"), service.ready.target, in_shell=False)


def check_reference(reference: Reference, service: Service, services: Mapping[str, Service]) -> None:
    """Raise TemplateError when a template can never be filled in: unknown name, or a port that does not exist."""
    name, written = reference.name, reference.written
    if name == PORT:
        if service.port is None and reference.default is None:
            raise TemplateError(f"`{written}`: `{service.name}` has no port", "give it `port:`", written)
        return
    if name in _KNOWN_WORDS:
        return
    head, _, rest = name.partition(".")
    if head == "env":
        if _VARIABLE.match(rest) is None:
            hint = "a default is written `${env.NAME:-default}`" if "-" in rest else "`${env.NAME}`"
            raise TemplateError(f"`{written}`: `{rest}` is no name of a variable", hint, written)
        return
    target, word, _ = split_name(name)
    other = _find(target, services)
    if other is None or word is None:
        raise TemplateError(f"unknown template `{written}`", _suggest(name, services), written)
    if not word:
        if other.port is None:
            raise TemplateError(f"`{written}`: `{target}` has no port", f"give `{target}` a `port:`", written)
    elif word not in other.ports:
        known = ", ".join(f"`${{{target}.ports.{each}}}`" for each in other.ports)
        hint = f"known are {known}" if known else f"give `{target}` `ports: {{{word}: …}}`"
        raise TemplateError(f"`{written}`: `{target}` has no port named `{word}`", hint, written)


def split_name(name: str) -> tuple[str, str | None, bool]:
    """Split `api.port`, `api.url` and `api.ports.debug` into service, name of the port, and whether it is a URL.

    The own port has the name "" ; None is a word that names no port.
    """
    target, _, word = name.rpartition(".")
    if target.endswith(".ports"):
        return target.removesuffix(".ports"), word, False
    return target, "" if word in ("port", "url") else None, word == "url"


def _find(target: str, services: Mapping[str, Service]) -> Service | None:
    """Return the service of that name, or the first instance of a formation (`web` is `web.1`)."""
    return services.get(target) or services.get(f"{target}.1")


def _suggest(name: str, services: Mapping[str, Service]) -> str:
    known = [SLUG, SLOT, "env.NAME"]
    for service in services.values():
        if service.port is not None:
            known += [f"{service.name}.port", f"{service.name}.url"]
        known += [f"{service.name}.ports.{each}" for each in service.ports]
    return did_you_mean(name, known) or "known are " + ", ".join(f"`${{{each}}}`" for each in known[:12])


def _command_texts(path: tuple[str | int, ...], command: str | tuple[str, ...]) -> Iterator[Text]:
    if isinstance(command, str):
        yield Text(path, command, in_shell=True)
    else:
        for index, element in enumerate(command):
            yield Text((*path, index), element, in_shell=False)


def _expand(text: str, service: Service, facts: TemplateFacts, *, in_shell: bool) -> str:
    if "${" not in text:
        return text
    try:
        return _render(parse(text, in_shell=in_shell), service, facts)
    except TemplateError as error:
        where = str(service.place) if service.place else None
        raise ConfigError(f"`{service.name}`: {error.message}", hint=error.hint, where=where) from error


def _render(template: Template, service: Service, facts: TemplateFacts) -> str:
    return "".join(part if isinstance(part, str) else _fill(part, service, facts) for part in template)


def _fill(reference: Reference, service: Service, facts: TemplateFacts) -> str:
    name = reference.name
    value = _lookup(name, service, facts)
    if value:
        return value
    if reference.default is not None:
        return _render(reference.default, service, facts)
    if value is not None:
        return value
    if name.startswith("env."):
        variable = name.removeprefix("env.")
        hint = f"set it in `.env`, or give a default: `${{env.{variable}:-}}`"
        raise TemplateError(f"the variable `{variable}` is not set", hint, reference.written)
    raise TemplateError(f"`{reference.written}` has no value", None, reference.written)


def _lookup(name: str, service: Service, facts: TemplateFacts) -> str | None:
    known = {OFFSET: str(facts.ports.offset), SLUG: facts.worktree.slug, SLOT: str(facts.ports.slot)}
    if name in known:
        return known[name]
    if name.startswith("env."):
        return facts.environment.get(name.removeprefix("env."))
    if name == PORT:
        number, is_url = facts.ports.port(service.name), False
    else:
        target, word, is_url = split_name(name)
        if target not in facts.ports.ports:
            target += ".1"
        number = None if word is None else facts.ports.port(target, word)
    if number is None:
        return None
    return f"http://localhost:{number}" if is_url else str(number)
