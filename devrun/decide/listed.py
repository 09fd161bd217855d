"""What an authority's answer says: the live pids, or that it says nothing.

Unknown is not empty.  An empty list counts as "none are alive" only when what it was taken from is
empty, too: an expression that finds no pid in entries that are there was written for another shape.
"""

from __future__ import annotations

import json
from typing import Any

_PROJECTIONS = frozenset({"projection", "value_projection", "filter_projection"})
_PATHS = frozenset({"field", "identity", "current", "subexpression", "index_expression", "index"})


class MalformedError(Exception):
    """The answer cannot be used; the text says why."""


def listed_pids(answer: bytes, expression: str, /) -> frozenset[int]:
    """Return the pids that the jmespath `expression` finds in a JSON answer; raise MalformedError."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise MalformedError("its answer is not JSON") from error
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(expression)
        found = compiled.search(document)
    except JMESPathError as error:
        first = str(error).splitlines()[0] if str(error) else "it is not valid"
        raise MalformedError(f"`{expression}`: {first}") from error
    if not isinstance(found, list):
        raise MalformedError(f"`{expression}` finds no list in its answer")
    if not found and not _is_empty_by_itself(compiled.parsed, document):
        raise MalformedError(f"`{expression}` finds no pid in the entries of its answer")
    return frozenset(_pid(each, expression) for each in found)


def _pid(value: Any, expression: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise MalformedError(f"`{expression}` finds `{value}`, which is no pid")
    return value


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
