"""The names of variables: how a worktree's ports reach services, shells and other tools.

Pure: mappings in, mappings out.  `DEVRUN_ENV` marks an environment that `devrun env` wrote (its
value is the worktree it is for), `DEVRUN_RUN` one that a service inherited: in both, the port
variables are devrun's own output and must not be taken for the user's wishes.  `DEVRUN_BASES` keeps
those wishes beside it: what the variables of `port_env` said before devrun wrote ports into them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from devrun.config.project import Service
from devrun.model import PortSet

ENVIRONMENT_MARK = "DEVRUN_ENV"
RUN_MARK = "DEVRUN_RUN"
BASES = "DEVRUN_BASES"
SLOT, OFFSET = "DEVRUN_SLOT", "DEVRUN_OFFSET"
_OWN = (SLOT, OFFSET, BASES, ENVIRONMENT_MARK, RUN_MARK, "DEVRUN_SERVICE", "DEVRUN_WORKTREE")
HOST = "localhost"


def variable_name(name: str) -> str:
    """Return `<NAME>`: upper case, every character that is no letter or digit as `_`."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def variable_stem(service: str, name: str = "") -> str:
    """Return what stands before `_PORT` and `_URL`: `API`, or `API_METRICS` for a named port."""
    return variable_name(f"{service}_{name}" if name else service)


def url_of(port: int) -> str:
    """Return the address of a port, for people and `<NAME>_URL`."""
    return f"http://{HOST}:{port}"


def port_environment(services: Mapping[str, Service], ports: PortSet) -> dict[str, str]:
    """Return what everybody in the worktree gets: `<NAME>_PORT` and `<NAME>_URL` of all, slot and offset."""
    found = {SLOT: str(ports.slot), OFFSET: str(ports.offset)}
    for service, name in _named(services):
        port = ports.port(service, name)
        if port is not None:
            stem = variable_stem(service, name)
            found[f"{stem}_PORT"] = str(port)
            found[f"{stem}_URL"] = url_of(port)
    return found


def own_port_environment(service: Service, ports: PortSet) -> dict[str, str]:
    """Return what one service gets for itself: `PORT` and its `port_env`; nothing without a port."""
    port = ports.port(service.name)
    if port is None:
        return {}
    return {"PORT": str(port)} | ({service.port_env: str(port)} if service.port_env else {})


def printed_environment(
    services: Mapping[str, Service], ports: PortSet, worktree: str, *, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return what `devrun env` prints: the ports of all, each `port_env`, what they said before, and the mark."""
    found = port_environment(services, ports) | noted_bases(services, inherited)
    for service in services.values():
        port = ports.port(service.name)
        if service.port_env and port is not None:
            found[service.port_env] = str(port)
    return {**found, ENVIRONMENT_MARK: worktree}


def is_marked(environ: Mapping[str, str]) -> bool:
    """Whether port variables in `environ` are devrun's own output, not the user's wishes."""
    return bool(environ.get(RUN_MARK) or environ.get(ENVIRONMENT_MARK))


def wishes(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return where `port_env` looks: the environment, or what was noted of it before devrun wrote into it.

    Never `PORT`: somebody else's, whoever set it.
    """
    found = _noted(environ) if is_marked(environ) else environ
    return {name: value for name, value in found.items() if name != "PORT"}


def noted_bases(services: Mapping[str, Service], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the note of the bases that the user's variables chose; nothing when they chose none."""
    found = wishes(inherited)
    names = found if is_marked(inherited) else {each.port_env for each in services.values() if each.port_env}
    noted = " ".join(f"{name}={found[name].strip()}" for name in sorted(names) if found.get(name, "").strip())
    return {BASES: noted} if noted else {}


def _noted(environ: Mapping[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in environ.get(BASES, "").split())
    return {name: value for name, _, value in pairs if name and value}


def without_inherited(environ: Mapping[str, str], services: Mapping[str, Service]) -> dict[str, str]:
    """Return `environ` without what devrun itself put there.

    `PORT` and devrun's own variables always go.  In a marked environment the port variables of
    `services` go too, and every pair that only devrun writes (`X_URL` is `http://localhost:$X_PORT`:
    a service of another worktree or project), but never somebody's `DATABASE_URL`; what the user had
    put into the variables of `port_env` is there again.
    """
    kept = {name: value for name, value in environ.items() if name != "PORT" and name not in _OWN}
    if not is_marked(environ):
        return kept
    stems = {variable_stem(service, name) for service, name in _named(services)}
    for name in environ:
        stem = name.removesuffix("_PORT")
        if stem != name and environ.get(f"{stem}_URL") == f"http://{HOST}:{environ[name]}":
            stems.add(stem)
    ours = {f"{stem}_{suffix}" for stem in stems for suffix in ("PORT", "URL")}
    ours |= {service.port_env for service in services.values() if service.port_env}
    return {name: value for name, value in kept.items() if name not in ours} | _noted(environ)


def _named(services: Mapping[str, Service]) -> Iterator[tuple[str, str]]:
    for service in services.values():
        yield service.name, ""
        for name in service.ports:
            yield service.name, name
