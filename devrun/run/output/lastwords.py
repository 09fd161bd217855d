"""The last lines of services, from their log files: what a message shows of a service that failed."""

from __future__ import annotations

import os
from collections.abc import Iterable

from devrun.model import RunRecord
from devrun.run.output.logreader import joined, logged_services, read_logs
from devrun.run.output.terminal import plain
from devrun.state import State

LINES = 10


def last_words(state: State, run: RunRecord, services: Iterable[str], count: int = LINES) -> tuple[str, ...]:
    """Return the last `count` lines of each of these services of a run, `name | text`."""
    folder = os.path.join(state.runs.folder(run.id), "logs")
    known = logged_services(folder)
    return tuple(
        f"{record.service} | {plain(record.text)}"
        for name in services
        if name in known
        for record in joined(read_logs(folder, (name,), since=None, tail=count))
    )
