"""Ports as answers: the JSON objects of `ports`, and their lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from devrun.model import PortSet
from devrun.ports.names import url_of
from devrun.report.columns import columns
from devrun.report.console import Output


class PortsRow(NamedTuple):
    """The ports of one worktree; `services` are those to show, also without a port."""

    worktree: str
    ports: PortSet
    services: tuple[str, ...]


def ports_data(row: PortsRow) -> dict[str, Any]:
    """Return the JSON object of one worktree's ports; named ports stand under `ports`."""
    services = {name: _service(row.ports.ports.get(name, {})) for name in row.services}
    return {"worktree": row.worktree, "slot": row.ports.slot, "offset": row.ports.offset, "services": services}


def ports_lines(row: PortsRow, output: Output) -> Iterator[str]:
    """Yield worktree, slot and offset, then a line per port."""
    yield output.style(f"{row.worktree} · slot {row.ports.slot} · offset {row.ports.offset}", "bold")
    rows = [
        (f"{service}:{name}" if name else service, str(port), url_of(port))
        for service in row.services
        for name, port in row.ports.ports.get(service, {}).items()
    ]
    yield from list(columns(("service", "port", "url"), rows, head=lambda line: output.style(line, "dim")))


def all_ports_lines(rows: Iterable[PortsRow], output: Output) -> Iterator[str]:
    """Yield a line per worktree."""
    table = [(row.worktree, str(row.ports.slot), str(row.ports.offset), summary(row.ports)) for row in rows]
    header = ("worktree", "slot", "offset", "ports")
    return columns(header, table, head=lambda line: output.style(line, "dim")) if table else iter(())


def flat(ports: PortSet) -> dict[str, int]:
    """Return the ports by what people call them: `api`, and `web:hmr` for a named one."""
    return {
        f"{service}:{name}" if name else service: port
        for service, named in ports.ports.items()
        for name, port in named.items()
    }


def summary(ports: PortSet) -> str:
    """Return `api 3001, web 3000, web:hmr 3002`."""
    return ", ".join(f"{name} {port}" for name, port in flat(ports).items())


def _service(ports: Mapping[str, int]) -> dict[str, Any]:
    own = ports.get("")
    found: dict[str, Any] = {"port": own, "url": None if own is None else url_of(own)}
    named = {name: {"port": port, "url": url_of(port)} for name, port in ports.items() if name}
    return {**found, "ports": named} if named else found
