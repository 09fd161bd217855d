"""The detach key of `attach`: its name, the byte a terminal sends for it, and where it was typed."""

from __future__ import annotations

import re
from typing import NamedTuple

from devrun.errors import UsageError

_NAME = re.compile(r"(?:ctrl-|c-|\^)([a-z@\[\\\]^_])", re.IGNORECASE)
_TAKEN = {"c": "interrupt", "d": "end of file", "i": "Tab", "j": "Return", "m": "Return", "[": "Escape"}
"""Keys that a service needs, by what they mean to it."""


class DetachKey(NamedTuple):
    """A control key: what people call it, and its byte (the letter's code without the upper bits, ECMA-48)."""

    name: str
    byte: bytes


def parse_key(text: str) -> DetachKey:
    """Return the key that `ctrl-]`, `c-a` or `^t` means; raise UsageError for anything that cannot leave."""
    found = _NAME.fullmatch(text.strip())
    letter = found[1].lower() if found else ""
    if not letter or letter in _TAKEN:
        reason = f"is {_TAKEN[letter]}, which a service needs" if letter else "is no key with Ctrl"
        raise UsageError(f"`--detach-key {text}` {reason}", hint="`--detach-key ctrl-]`")
    return DetachKey(f"Ctrl-{letter.upper()}", bytes([ord(letter.upper()) & 0x1F]))


def split_at_key(typed: bytes, key: DetachKey) -> tuple[bytes, bool]:
    """Return what was typed before the detach key, and whether it was typed."""
    before, found, _ = typed.partition(key.byte)
    return before, bool(found)
