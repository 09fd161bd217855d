"""Process tables as JSON: a situation recorded once, decided on for ever.

`record(snapshot)` gives the text of a snapshot with all its columns, `load(name)` the snapshot of
`tests/recordings/NAME.json`.  What is recorded has no secrets: a record never holds any.
"""

from __future__ import annotations

import os

import msgspec

from devrun.model import Listener, ProcessRecord, ProcessSnapshot

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "recordings")


class Recording(msgspec.Struct, frozen=True, omit_defaults=True):
    """A snapshot as it is written down."""

    self_pid: int
    boot_id: str
    records: tuple[ProcessRecord, ...]
    listeners: tuple[Listener, ...] | None = None


def record(snapshot: ProcessSnapshot) -> str:
    """Return the JSON text of a snapshot."""
    recording = Recording(snapshot.self_pid, snapshot.boot_id, tuple(snapshot), snapshot.listeners)
    return msgspec.json.format(msgspec.json.encode(recording), indent=1).decode() + "\n"


def parse(text: str) -> ProcessSnapshot:
    """Return the snapshot that `record` wrote."""
    recording = msgspec.json.decode(text, type=Recording)
    return ProcessSnapshot(
        recording.records,
        self_pid=recording.self_pid,
        boot_id=recording.boot_id,
        listeners=recording.listeners,
    )


def load(name: str) -> ProcessSnapshot:
    """Return the recorded snapshot `name`."""
    with open(os.path.join(FOLDER, f"{name}.json"), encoding="utf-8") as source:
        return parse(source.read())
