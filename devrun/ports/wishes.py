"""What a project wants of the ledger: the bases of its ports, and a pinned slot."""

from __future__ import annotations

import os

from devrun.config.project import Project
from devrun.errors import UsageError
from devrun.model import PortBase

PIN_VARIABLE = "DEVRUN_PIN_SLOT"


def port_bases(project: Project) -> tuple[PortBase, ...]:
    """Return every port of the project before the offset, in the order of the configuration."""
    return tuple(
        PortBase(service.name, name, port, service.fixed)
        for service in project.services.values()
        for name, port in (("", service.port), *service.ports.items())
        if port is not None
    )


def wanted_slot(flag: int | None, project: Project) -> int | None:
    """Return the pinned slot: `--slot`, then DEVRUN_PIN_SLOT, then `ports.slot`; None without a pin."""
    if flag is not None:
        return _slot(str(flag), "--slot")
    text = os.environ.get(PIN_VARIABLE, "")
    if text:
        return _slot(text, PIN_VARIABLE)
    slot = project.ports.slot
    return None if slot is None else _slot(str(slot), "ports.slot")


def _slot(text: str, source: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len("65535")):
        raise UsageError(
            f"`{source}`: `{text}` is no slot", hint="a slot is a small number: 0 is the main checkout, 1, 2, …"
        )
    return int(text)
