"""What devrun did and refused, and who has a port: rows for JSON, lines for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from devrun.model import Classified, short_command
from devrun.report.cleaning import process_row
from devrun.state.journal import JournalRow

_PROCESS = ("pid", "command", "cwd", "worktree", "service", "action", "reason", "detail", "outcome")


def history_data(rows: Iterable[JournalRow]) -> list[dict[str, Any]]:
    """Return the `data` of `history`: process rows with their time, and as `verb` the devrun command that did it."""
    return [
        {"time": iso_time(row.time), "verb": row.verb, **{key: getattr(row, key) for key in _PROCESS}} for row in rows
    ]


def history_lines(rows: Iterable[JournalRow]) -> Iterator[str]:
    """Yield a line per act, oldest first."""
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.time))
        yield f"{when}  {row.verb}: {_act(row)}"


def iso_time(moment: float) -> str:
    """Return a time as all answers have it: UTC, ISO 8601."""
    second, rest = divmod(int(moment * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{rest:06d}Z"


def who_data(port: int, rows: Sequence[Classified], *, hidden: bool) -> dict[str, Any]:
    """Return the `data` of `who`; a holder that cannot be seen has a row without a pid."""
    holders = [process_row(each) for each in rows]
    if hidden:
        detail = f"port {port} is held by a process that is not visible: another user's, a container's, or the system's"
        empty: dict[str, Any] = dict.fromkeys(("pid", "command", "cwd", "worktree", "service"))
        holders.append({**empty, "action": "report", "reason": "hidden", "detail": detail, "outcome": None})
    return {"port": port, "holders": holders}


def who_lines(data: dict[str, Any]) -> Iterator[str]:
    """Yield a line per holder."""
    for row in data["holders"]:
        if row["pid"] is None:
            yield row["detail"]
        else:
            yield f"{row['pid']} `{short_command((row['command'] or '').split(' '))}` {row['detail']}"


def _act(row: JournalRow) -> str:
    if row.pid is None:
        verb = {"release": "released", "remove": "removed", "spare": "refused"}.get(row.action or "", row.action or "")
        what = f" `{row.worktree}`" if row.worktree and row.action != "release" else ""
        whose = f" of `{row.worktree}`" if row.worktree and row.action == "release" else ""
        detail = f" {row.detail}" if row.action == "release" else f" ({row.detail})" if what else f" {row.detail}"
        return f"{verb}{what}{detail}{whose}"
    who = f"{row.pid} `{short_command((row.command or '').split(' '))}`"
    if row.action == "stop":
        return f"stopped {who} ({row.detail}): {row.outcome}"
    return f"left {who}: {row.detail}"
