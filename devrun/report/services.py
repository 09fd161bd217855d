"""Services of runs as people read them: a table on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from devrun.report.answers import OutcomeRow, Outcomes, Ps, ServiceRow, StartedRow
from devrun.report.columns import columns
from devrun.report.console import Output
from devrun.report.visible import OURS

_HEADER = ("service", "state", "pid", "port", "url", "uptime", "restarts", "cpu", "memory")
_RIGHT = frozenset({"pid", "port", "uptime", "restarts", "cpu", "memory"})
_STYLES = {"ready": "green", "running": "yellow", "starting": "yellow", "waiting": "yellow", "failed": "red"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def heading(data: Ps, owner: str | None) -> str:
    """Return the line above the services of a worktree."""
    if data.run is None:
        return f"{data.worktree} · nothing is running"
    kind = "in the background" if data.run.detached else "in the foreground"
    bound = "" if owner is None else f" · ends with {owner}"
    return f"{data.worktree} · run {data.run.id} · pid {data.run.pid} · {kind}{bound}"


def service_lines(rows: Sequence[ServiceRow], uptimes: Mapping[str, float], output: Output) -> Iterator[str]:
    """Yield the services: drawn by rich where a person reads, else plain columns that grep and cut can take."""
    words = [_words(row, uptimes.get(row.name)) for row in rows]
    if output.to_terminal:
        yield from _drawn(words, output)
    else:
        yield from columns(_HEADER, words)


def outcome_lines(outcomes: Outcomes) -> Iterator[str]:
    """Yield what became of each service."""
    for row in outcomes.services:
        yield f"{row.name}: {row.outcome}"


def outcomes_of(found: Mapping[str, str]) -> Outcomes:
    """Return the answer of `down`, `stop`, `start` and `restart`."""
    return Outcomes(services=tuple(OutcomeRow(name, outcome) for name, outcome in found.items()))  # type: ignore[arg-type]


def state_lines(rows: Sequence[StartedRow]) -> Iterator[str]:
    """Yield name, state and URL of each service."""
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        yield f"{row.name:<{width}}  {row.state:<8}  {row.url or ''}".rstrip()


def _words(row: ServiceRow, uptime: float | None) -> tuple[str, ...]:
    state = row.state if row.ready or row.state != "ready" else "wrong server"
    return (
        row.name,
        state,
        _or_dash(row.pid),
        _or_dash(row.port),
        row.url or "-",
        "-" if uptime is None else duration(uptime),
        str(row.restarts),
        "-" if row.cpu is None else f"{row.cpu:.0f}%",
        "-" if row.rss is None else f"{row.rss / 1_000_000:.0f} MB",
    )


def _drawn(words: Sequence[tuple[str, ...]], output: Output) -> Iterator[str]:
    from io import StringIO
    from shutil import get_terminal_size

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _HEADER:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for row in words:
        state = Text(row[1], style=_STYLES.get(row[1], "dim") if row[1] != "wrong server" else "red")
        table.add_row(row[0], state, *row[2:])
    text = StringIO()
    width = max(get_terminal_size().columns, 40)
    Console(
        file=text, width=width, force_terminal=True, no_color=output.style("x", "dim") == "x", highlight=False
    ).print(table)
    yield from text.getvalue().replace("\x1b", OURS).rstrip("\n").split("\n")


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `3 s`, `4 m 10 s`, `2 h 5 m`, `3 d 4 h`."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} m"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
