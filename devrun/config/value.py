"""A node of a configuration file that remembers its place: what `document` reads, and everybody else asks.

Without PyYAML: a Procfile alone is a document without keys, and `up` on one must not pay for a parser
that it does not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from devrun.config.files import Source
from devrun.config.project import Place

Scalar = str | int | float | bool | None


class Value(Struct, eq=False):
    """A node of the document.  `data` is a scalar, a list of values or a mapping of values.

    `text` is a scalar's source text, `keys` the places of a mapping's keys, `size` the number of
    values below after aliases are expanded; `source[start:end]` is where it stands.
    """

    place: Place
    data: Scalar | list[Value] | dict[str, Value]
    text: str = ""
    plain: bool = False
    keys: dict[str, Place] = {}
    size: int = 1
    source: Source | None = None
    start: int = 0
    end: int = 0

    def items(self) -> Iterator[tuple[str, Value]]:
        """Yield keys and values of a mapping; nothing for anything else."""
        if isinstance(self.data, dict):
            yield from self.data.items()

    def get(self, *path: str | int) -> Value | None:
        """Return the value at `path`, or None."""
        here: Value | None = self
        for step in path:
            data = here.data if here is not None else None
            if isinstance(data, dict):
                here = data.get(str(step))
            elif isinstance(data, list) and isinstance(step, int) and step < len(data):
                here = data[step]
            else:
                return None
        return here

    def key_place(self, key: str) -> Place:
        """Return where `key` is written, or where the mapping begins."""
        return self.keys.get(key, self.place)

    def place_of(self, fragment: str) -> Place:
        """Return where the text `fragment` first stands in this scalar, or where the scalar begins."""
        at = -1 if self.source is None else self.source.text.find(fragment, self.start, self.end)
        return self.place if self.source is None or at < 0 else self.source.place(at)


def unwrap(value: Value) -> Any:
    """Return the plain lists, dicts and scalars of a value."""
    data = value.data
    if isinstance(data, dict):
        return {key: unwrap(child) for key, child in data.items()}
    if isinstance(data, list):
        return [unwrap(child) for child in data]
    return data
