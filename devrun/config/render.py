"""Nested mappings, lists and scalars as YAML, laid out as people write services.yaml.

Short mappings stay on one line; a text is quoted only where it could be read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./ $(){}=+@~;&|<>^-]*\Z")
_WORDS = frozenset(["true", "false", "yes", "no", "on", "off", "null", "y", "n"])
_MAX_INLINE = 88


def render_document(document: Mapping[str, Any]) -> str:
    """Return YAML of nested mappings, lists and scalars."""
    return "\n".join(_block(document, "")) + "\n"


def _quoted(text: str) -> str:
    """Return a text as a YAML scalar, in quotes where it could be read as something else."""
    if _PLAIN.match(text) and text.lower() not in _WORDS and text[-1:] != " ":
        return text
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(sign: str) -> str:
    if sign in ('"', "\\"):
        return "\\" + sign
    code = ord(sign)
    if sign.isprintable() and code != 0xFEFF:  # noqa: PLR2004 - a byte order mark is read away
        return sign
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def _block(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        inline = _inline(value)
        nested = isinstance(value, Mapping) and value and (len(inline) > _MAX_INLINE or indent == "" or _is_deep(value))
        if nested and isinstance(value, Mapping):
            yield f"{indent}{_quoted(key)}:"
            yield from _block(value, indent + "  ")
        elif isinstance(value, list) and len(inline) > _MAX_INLINE:
            yield f"{indent}{_quoted(key)}:"
            yield from (f"{indent}  - {_inline(each)}" for each in value)
        else:
            yield f"{indent}{_quoted(key)}: {_quoted(value) if isinstance(value, str) else inline}"


def _is_deep(mapping: Mapping[str, Any]) -> bool:
    return any(isinstance(each, Mapping | list) for each in mapping.values())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_in_flow(key)}: {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_inline(each) for each in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _in_flow(value) if isinstance(value, str) else format(value, "")


def _in_flow(text: str) -> str:
    """Return a scalar for inside `{…}` and `[…]`: there brackets end it."""
    plain = _quoted(text)
    if plain.startswith('"') or not any(sign in text for sign in "{}[],"):
        return plain
    return f'"{plain}"'
