"""What may reach a terminal, and what must not: pure functions over whole chunks of bytes.

A line may leave a colour open, move the cursor, switch to the alternate screen or set the title.
`close_colours` ends a colour at the end of its line, wherever the output goes; `tame` keeps colour
and "erase in line" only, for terminals.  `settled_length` says how much of an unfinished line can
be shown without tearing an escape sequence, a character or a CR LF (ECMA-48, RFC 3629).
"""

from __future__ import annotations

import re

RESET = b"\x1b[0m"

# Greedy and possessive up to the end of the line: every byte is looked at once, whatever it is.
_COLOURED_LINE = re.compile(rb"\x1b[^\n]*+")
_SELECT_GRAPHIC = re.compile(rb"\x1b\[([0-9;:]*)m")
_RESETS = (b"\x1b[0m", b"\x1b[m")

# CSI 1 G is what readline's `cursorTo(0)` writes where others write CR.
_TO_COLUMN_ONE = re.compile(rb"\x1b\[[01]?G")
_UNSAFE = re.compile(
    rb"\x1b(?!\[[0-9;:]*+[mK])"  # colour and erase-in-line stay
    rb"(?:\[[0-?]*+[ -/]*+[@-~]?"  # CSI: cursor, screen, scroll region, modes, queries; unfinished too
    rb"|\][^\x07\x1b\n]*+(?:\x07|\x1b\\)?"  # OSC: title, clipboard, links; ended by the line at the latest
    rb"|[PX^_][^\x1b\n]*+(?:\x1b\\)?"  # DCS, SOS, PM, APC
    rb"|[ -/]++[0-~]?"  # character sets
    rb"|[0-~]?)"  # two bytes: reset, save, restore, index; or an escape alone
)
# NUL, ENQ (asks the terminal to answer), shift out and in (other character set).
_UNSAFE_CONTROLS = b"\x00\x05\x0e\x0f"

_COLOURS = re.compile(rb"\x1b\[[0-9;:]*+[mK]")

_TAIL = 64
_UNSETTLED = re.compile(
    rb"(?:\r+|\x1b(?:\[[0-?]*+[ -/]*+|[\]PX^_][^\x07\x1b\n]*+\x1b?|[ -/]++)?"
    rb"|[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"
)


def _closed(match: re.Match[bytes]) -> bytes:
    line = match[0]
    if line.endswith(_RESETS):
        return line
    codes = None
    start = line.rfind(b"\x1b[")
    while start >= 0 and codes is None:
        found = _SELECT_GRAPHIC.match(line, start)
        codes = found and found[1]
        start = line.rfind(b"\x1b[", 0, start)
    return line if codes is None or not codes.strip(b"0") else line + RESET


def close_colours(block: bytes, /) -> bytes:
    """Return `block` with a reset at the end of each line whose last colour is not one already."""
    return _COLOURED_LINE.sub(_closed, block) if b"\x1b" in block else block


def tame(block: bytes, /) -> bytes:
    """Return `block` without anything that moves the cursor off its line or changes the terminal's mode."""
    if b"\x1b" in block:
        block = _UNSAFE.sub(b"", _TO_COLUMN_ONE.sub(b"\r", block))
    return block.translate(None, _UNSAFE_CONTROLS)


def plain(line: bytes, /) -> str:
    """Return a line as text to quote: without colours, and only what stands after its last CR."""
    shown = _COLOURS.sub(b"", tame(line)).rstrip(b"\r").rpartition(b"\r")[2]
    return shown.decode(errors="replace").expandtabs()


def settled_length(text: bytes, /) -> int:
    """Return how much of an unfinished line can be shown: not half an escape, a character or a CR LF."""
    window = text[-_TAIL:]
    found = _UNSETTLED.search(window)
    return len(text) if found is None else len(text) - len(window) + found.start()
