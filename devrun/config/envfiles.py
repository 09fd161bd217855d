"""Variables from `.env` files, read by python-dotenv, without interpolation.

A line that cannot be read is an error with its number, and so is a name without `=`, which
python-dotenv passes over in silence.  Later lines and later files win.  No message repeats what a
line says: it may be a part of a secret.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable

from msgspec import Struct

from devrun.config.files import Source, is_there, read_source, shown
from devrun.config.problems import Problems
from devrun.config.project import Place
from devrun.errors import ConfigError

DEFAULT = ".env"


class Wanted(Struct, frozen=True):
    """A file to read, and where the configuration asks for it (None: by default, when it exists)."""

    path: str
    required: bool
    place: Place | None = None


class Variable(Struct, frozen=True):
    """A variable of a file, and where it stands."""

    value: str
    place: Place


def read_env_files(root: str, wanted: Iterable[Wanted], start: str, problems: Problems) -> dict[str, Variable]:
    """Return the variables of the files, later ones over earlier ones."""
    variables: dict[str, Variable] = {}
    for each in wanted:
        path = os.path.join(root, each.path)
        if not each.required and not is_there(path):
            continue
        try:
            source = read_source(path, name=shown(path, start))
        except ConfigError as error:
            if each.place is None or error.where != shown(path, start):  # by default, or it has a place in the file
                raise
            hint = (
                None if is_there(path) else "a file that may be missing: `{path: " + each.path + ", required: false}`"
            )
            problems.add(error.message, each.place, hint=hint)
            continue
        variables.update(parse_env(source, problems))
    return variables


def parse_env(source: Source, problems: Problems) -> dict[str, Variable]:
    """Return the variables of one file."""
    if not source.text.strip():
        return {}
    from dotenv.parser import parse_stream

    variables: dict[str, Variable] = {}
    for binding in parse_stream(io.StringIO(source.text)):
        written = binding.original.string
        blank = len(written) - len(written.lstrip())
        place = Place(source.path, binding.original.line + written.count("\n", 0, blank))
        if binding.error:
            problems.add("not a line of an env file", place, hint=_hint(written.strip()))
        elif binding.key is None:
            continue
        elif binding.value is None:
            problems.add("a line without `=`", place, hint="`NAME=` for an empty value")
        elif not binding.key or "=" in binding.key:
            problems.add("no name of a variable before `=`", place)
        else:
            variables[binding.key] = Variable(binding.value, place)
    return variables


def _hint(written: str) -> str:
    value = written.partition("=")[2].strip()
    if value[:1] in ("'", '"'):
        return f"the quote {value[0]} is not closed, or something follows it"
    return "a line is `NAME=value`, a comment begins with `#`"
