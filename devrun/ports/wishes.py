"""What a project wants of the ledger: the bases of its ports, and a pinned slot.

Bases come from the configuration, or from the variable a service names with `port_env`; never from
values that devrun itself put into the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from devrun.config.project import Project, Service
from devrun.errors import ConfigError, UsageError
from devrun.model import PortBase
from devrun.ports.arithmetic import HIGHEST
from devrun.ports.names import without_inherited

PIN_VARIABLE = "DEVRUN_PIN_SLOT"


def port_bases(project: Project, environ: Mapping[str, str] | None = None) -> tuple[PortBase, ...]:
    """Return every port of the project before the offset, in the order of the configuration.

    Raises ConfigError when two are the same, UsageError when a `port_env` variable is no port.
    """
    given = os.environ if environ is None else environ
    wishes = any(service.port_env for service in project.services.values())
    variables = {**without_inherited(given, project.services), **project.env_files} if wishes else {}
    bases: dict[int, PortBase] = {}
    for service in project.services.values():
        own = _own_base(service, variables)
        named = [PortBase(service.name, name, port, service.fixed) for name, port in service.ports.items()]
        for base in [own, *named] if own is not None else named:
            other = bases.setdefault(base.port, base)
            if other is not base:
                raise ConfigError(
                    f"{_label(base)} and {_label(other)} both want port {base.port}",
                    hint="give each a port of its own; a service can have several as `ports: {NAME: PORT}`",
                    where=str(service.place) if service.place else None,
                )
    return tuple(bases.values())


def wanted_slot(flag: int | None, project: Project, environ: Mapping[str, str] | None = None) -> int | None:
    """Return the pinned slot: `--slot`, then DEVRUN_PIN_SLOT, then `ports.slot`; None without a pin."""
    if flag is not None:
        return _slot(str(flag), "--slot")
    text = (os.environ if environ is None else environ).get(PIN_VARIABLE, "")
    if text:
        return _slot(text, PIN_VARIABLE)
    slot = project.ports.slot
    return None if slot is None else _slot(str(slot), "ports.slot")


def _own_base(service: Service, variables: Mapping[str, str]) -> PortBase | None:
    port = service.port
    text = variables.get(service.port_env, "") if service.port_env else ""
    if text:
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= HIGHEST):
            raise UsageError(
                f"`{service.port_env}={text}` (`{service.name}`) is no port", hint=f"`unset {service.port_env}`"
            )
        port = int(text)
    return None if port is None else PortBase(service.name, "", port, service.fixed)


def _slot(text: str, source: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len(str(HIGHEST)) + 1):
        raise UsageError(
            f"`{source}`: `{text}` is no slot", hint="a slot is a small number: 0 is the main checkout, 1, 2, …"
        )
    return int(text)


def _label(base: PortBase) -> str:
    return f"`{base.service}`" + (f" (`{base.name}`)" if base.name else "")
