"""JSON schemas of what `--json` prints, one per kind, generated from `report.answers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from devrun.report import answers
from devrun.report.console import FORMAT_VERSION

KINDS: Mapping[str, Any] = {
    "up": answers.Up,
    "take": answers.Up,
    "down": answers.Outcomes,
    "stop": answers.Outcomes,
    "start": answers.Outcomes,
    "restart": answers.Outcomes,
    "ps": answers.Ps | tuple[answers.Ps, ...],
    "logs": answers.LogLine,
    "wait": answers.Waited,
    "env": dict[str, str],
    "ports": answers.Ports | tuple[answers.Ports, ...],
    "port": answers.Port,
    "url": answers.Url,
    "guard": answers.Guard,
    "sweep": answers.Sweep,
    "reap": answers.Sweep,
    "worktree add": answers.WorktreeRow,
    "worktree remove": answers.Removed,
    "worktree list": tuple[answers.WorktreeRow, ...],
    "who": answers.Who,
    "history": tuple[answers.HistoryRow, ...],
    "check": answers.Check,
    "doctor": answers.Doctor,
    "init": answers.Init,
    "schema": dict[str, Any],
    "completion": answers.Completion | answers.Names,
    "help": answers.Help,
    "error": answers.Failure,
}
"""Kind → type of its `data`; `logs` is one bare object a line."""
_BARE = frozenset({"logs"})
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def answer_schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of the answer of this kind."""
    wanted = KINDS[kind]
    members = getattr(wanted, "__args__", (wanted,)) if isinstance(wanted, type(int | str)) else (wanted,)
    made, components = msgspec.json.schema_components(members, ref_template="#/$defs/{name}")
    data: dict[str, Any] = made[0] if len(made) == 1 else {"anyOf": list(made)}
    if kind in _BARE:
        return {"$schema": _DIALECT, **data, "$defs": components}
    return {
        "$schema": _DIALECT,
        "title": f"devrun {kind} --json",
        "type": "object",
        "required": ["devrun", "kind", "data"],
        "additionalProperties": False,
        "properties": {"devrun": {"const": FORMAT_VERSION}, "kind": {"const": kind}, "data": data},
        "$defs": components,
    }
