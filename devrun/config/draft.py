"""What is known of a service before it is one, and the small forms its keys share."""

from __future__ import annotations

import re

from msgspec import Struct

from devrun.config.project import Place
from devrun.config.shape import ServiceEntry
from devrun.config.value import Value

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9.]+)(ms|s|m|h)")


class Draft(Struct, frozen=True):
    """What is known of a service before it is one.

    `command` and `port` come from a Procfile's line; `nth` is the instance's number, which is
    added to the ports of services.yaml.  `meant` is the hint at a line that has nearly this name.
    """

    name: str
    place: Place
    entry: ServiceEntry = ServiceEntry()
    value: Value | None = None
    command: str | None = None
    port: int | None = None
    nth: int = 0
    meant: str | None = None

    def where(self, *path: str | int) -> Place:
        """Return the place of a key's value, or of the service."""
        found = self.value.get(*path) if self.value is not None else None
        return found.place if found is not None else self.place


def names_of(names: str | list[str] | None) -> tuple[str, ...]:
    """Return a list that may be written as one text."""
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names or ()))


def seconds(value: float | str | None, default: float) -> float:
    """Return a duration in seconds: a number, or `1m30s`."""
    if value is None:
        return default
    if isinstance(value, str):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
    return float(value)


def command_of(value: Value | None) -> str | tuple[str, ...]:
    """Return a command as it is written: text for the shell, a tuple for exec."""
    if value is None:
        return ""
    return tuple(each.text for each in value.data) if isinstance(value.data, list) else value.text
