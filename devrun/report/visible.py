"""Text of others in lines of ours: names of folders, command lines, what a service said.

A folder's name may hold anything but NUL and `/`: escape sequences that repaint the terminal, line ends
that forge a message of devrun's own.  Such characters are shown as escapes, never sent.
"""

from __future__ import annotations

from typing import Any

OURS = "\0"
"""Stands for ESC in what devrun styles itself: no name and no argument can hold it."""
_SHORT = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
# C0, DEL and C1; then what ends a line or turns its direction round (Unicode 15, 23.2).
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {
    code: _SHORT.get(chr(code)) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004 - a byte
    for code in _CONTROLS
} | {ord(OURS): "\x1b"}


def visible(text: str, /) -> str:
    """Return `text` as one line that does nothing to a terminal but devrun's own styles."""
    return text if text.isascii() and text.isprintable() else text.translate(_ESCAPES)


def printable(value: Any, /) -> Any:
    """Return builtin values with texts that can be encoded: bytes of a path that are no UTF-8 become U+FFFD."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="replace")
    if isinstance(value, dict):
        return {printable(key): printable(each) for key, each in value.items()}
    return [printable(each) for each in value] if isinstance(value, (list, tuple)) else value
