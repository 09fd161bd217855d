"""A Procfile's lines, and how many of each (`web=2`), through honcho's own reading of both.

honcho and foreman drop a line they do not understand without a word; here it is an error with its
number.  Blank lines and lines that begin with `#` are fine.  Ports are assigned as they do it:
5000 for the first line, 5100 for the second, and one more for each further instance of a line.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from devrun.config.files import Source
from devrun.config.problems import Problems, did_you_mean
from devrun.config.project import Place
from devrun.ports.arithmetic import HIGHEST

FIRST_PORT = 5000
PORT_STEP = 100
MAX_INSTANCES = 1000
ALL = "all"


class Line(Struct, frozen=True):
    """One line of a Procfile."""

    name: str
    command: str
    place: Place


class Instance(Struct, frozen=True):
    """A service made from a line: `web`, or `web.1` and `web.2`; `nth` counts from 0."""

    name: str
    line: Line
    nth: int
    port: int


class Formation(Struct, frozen=True):
    """How many instances of each line, and where that was said (None: on the command line)."""

    counts: Mapping[str, int]
    place: Place | None = None


def read_procfile(source: Source, problems: Problems) -> dict[str, Line]:
    """Return the lines by name; every line that is none of `name: command`, blank or comment is a problem."""
    from honcho.environ import PROCFILE_LINE

    lines: dict[str, Line] = {}
    for number, text in enumerate(source.text.split("\n"), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        place = Place(source.path, number)
        match = PROCFILE_LINE.match(text)
        if match is None or not match[2].strip():
            problems.add(f"`{text.strip()[:60]}` is no `name: command`", place, hint=_hint(text))
        elif match[1] in lines:
            hint = f"the first one is at line {lines[match[1]].place.line}"
            problems.add(f"duplicate name `{match[1]}`", place, hint=hint)
        else:
            lines[match[1]] = Line(match[1], match[2].strip(), place)
    if not lines and not len(problems):
        problems.add("the Procfile has no line `name: command`", Place(source.path, 1))
    return lines


def parse_formation(text: str) -> dict[str, int]:
    """Read `web=2,worker=1` (or with blanks); raise ValueError saying what is wrong."""
    counts: dict[str, int] = {}
    for part in text.replace(",", " ").split():
        name, equals, number = part.partition("=")
        if not name or not equals or not number.isascii() or not number.isdigit():
            raise ValueError(f"`{part}` is no `NAME=NUMBER`")
        if len(number) > len(str(MAX_INSTANCES)) or int(number) > MAX_INSTANCES:
            raise ValueError(f"`{part}`: at most {MAX_INSTANCES} instances")
        if name in counts:
            raise ValueError(f"`{name}` is given twice")
        counts[name] = int(number)
    return counts


def expand(lines: Mapping[str, Line], formation: Formation, problems: Problems) -> list[Instance]:
    """Return the instances: a line the formation counts gets numbers when there are several of it.

    `all=2` counts every line that is not named.
    """
    from honcho.environ import expand_processes

    fallback = Place(next(iter(lines.values())).place.path, 1) if lines else Place("Procfile", 1)
    for name in formation.counts:
        if name not in lines and name != ALL:
            hint = did_you_mean(name, lines)
            problems.add(
                f"the formation counts `{name}`, which the Procfile lacks", formation.place or fallback, hint=hint
            )
    default = formation.counts.get(ALL, 1)
    counts = {name: formation.counts.get(name, default) for name in lines}
    commands = {name: line.command for name, line in lines.items()}
    instances = []
    for process in expand_processes(commands, concurrency=counts, port=FIRST_PORT):
        base, _, number = process.name.rpartition(".")
        port = int(process.env["PORT"])
        if port > HIGHEST:
            problems.add(f"no port is left for `{process.name}`: {port}", lines[base].place)
            break
        name = process.name if counts[base] > 1 else base
        instances.append(Instance(name, lines[base], int(number) - 1, port))
    return instances


def _hint(text: str) -> str:
    if text[0].isspace():
        return "remove the blanks before the name"
    name, colon, command = text.partition(":")
    if colon and not command.strip():
        return "a command is missing after `:`"
    if colon and not name.replace("-", "").replace("_", "").isalnum():
        return "a name has letters, digits, `-` and `_`"
    return "a line is `name: command`, a comment begins with `#`"
