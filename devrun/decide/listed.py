"""What an authority's answer says: the live pids, or that it says nothing.

Unknown is not empty.  An empty list counts as "none are alive" only when what it was taken from is
empty, too: an expression that finds no pid in entries that are there was written for another shape.
"""

from __future__ import annotations

import json
from typing import Any

_PROJECTIONS = frozenset({"projection", "value_projection", "filter_projection"})
_PATHS = frozenset({"field", "identity", "current", "subexpression", "index_expression", "index"})
_MOST_DIGITS = 20
_LONGEST = 120
"""Characters of somebody else's text in a message: enough to know it, and a line."""


class MalformedError(Exception):
    """The answer cannot be used; the text says why."""


def listed_pids(answer: bytes, expression: str, /) -> frozenset[int]:
    """Return the pids that the jmespath `expression` finds in a JSON answer; raise MalformedError."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise MalformedError("its answer is not JSON") from error
    import jmespath

    try:
        compiled = jmespath.compile(expression)
        found = compiled.search(document)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # Its own errors are ValueErrors; a slice, a comparison or `ceil(@)` of NaN fail as they do in Python.
        first = str(error).splitlines()[0] if str(error) else "it is not valid"
        raise MalformedError(f"`{_shown(expression)}`: {_shown(first)}") from error
    if not isinstance(found, list):
        raise MalformedError(f"`{_shown(expression)}` finds no list in its answer")
    if not found and not _is_empty_by_itself(compiled.parsed, document):
        raise MalformedError(f"`{_shown(expression)}` finds no pid in the entries of its answer")
    return frozenset(_pid(each, expression) for each in found)


def _pid(value: Any, expression: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise MalformedError(f"`{_shown(expression)}` finds `{_shown(value)}`, which is no pid")
    return value


def _shown(value: Any) -> str:
    """Return the beginning of a value, fit for any output: JSON may hold half of a surrogate pair."""
    text = str(value)
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return text.encode(errors="replace").decode()


def _is_empty_by_itself(node: dict[str, Any], document: Any) -> bool:
    """Say whether a part of the expression that finds `[]` found it in something empty."""
    kind = node["type"]
    if kind in _PATHS:
        return True
    if kind not in _PROJECTIONS and kind != "flatten":
        return False
    from jmespath.visitor import TreeInterpreter

    below = node["children"][0]
    source = TreeInterpreter().visit(below, document)
    if kind == "flatten" and isinstance(source, list) and source:
        return all(each == [] for each in source)
    return source in ([], {}) and _is_empty_by_itself(below, document)
