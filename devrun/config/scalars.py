"""What a plain scalar means: the core schema of YAML 1.2 (section 10.3), not 1.1.

`on`, `off`, `yes`, `no`, `22:22`, `0755`, `0x10` and `1_000` are text.  So are numbers too long to be
meant as one (a hash of digits), infinities and exponents without a point.
"""

from __future__ import annotations

import re

from devrun.config.value import Scalar

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,17}\.[0-9]{0,17}|\.[0-9]{1,17})(?:[eE][-+]?[0-9]{1,2})?\Z")


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
