"""Where words go: answers to stdout, narration to stderr, colour decided once.

A command gets one `Output`.  With `--json` the answer is one object and everything else stays on
stderr; a command never asks whether it runs on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from devrun.errors import DevrunError

FORMAT_VERSION = 1
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def wants_colour(stream: TextIO, *, choice: str = "auto") -> bool:
    """Decide on colour: `--color`, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal.

    https://no-color.org: any value that is not empty turns colour off.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Output:
    """The two streams of a command, and how it was asked to speak."""

    def __init__(self, *, json: bool = False, color: str = "auto") -> None:
        self.json = json
        self.color = color
        self._colour_out = not json and wants_colour(sys.stdout, choice=color)
        self._colour_err = wants_colour(sys.stderr, choice=color)

    @property
    def to_terminal(self) -> bool:
        """Whether answers are read by a person at a terminal (tables may be drawn)."""
        return not self.json and sys.stdout.isatty()

    def style(self, text: str, *styles: str) -> str:
        """Return `text` in the styles named, for stdout; plain where colour is off."""
        return _styled(text, styles) if self._colour_out else text

    def answer(self, kind: str, data: Any, lines: Iterable[str] = ()) -> None:
        """Print the answer: one JSON object with `--json`, otherwise the lines for people."""
        if self.json:
            import msgspec

            envelope = {"devrun": FORMAT_VERSION, "kind": kind, "data": data}
            sys.stdout.write(msgspec.json.encode(envelope).decode() + "\n")
        else:
            for line in lines:
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def say(self, line: str) -> None:
        """Narrate on stderr."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def fail(self, error: DevrunError) -> None:
        """Show an expected error: fact, place, hint; as JSON on stdout with `--json`."""
        if self.json:
            facts = {"message": error.message, "hint": error.hint, "where": error.where}
            self.answer("error", {**facts, "code": error.exit_code})
        where = f"{error.where}: " if error.where else ""
        label = _styled("error:", ("red", "bold")) if self._colour_err else "error:"
        self.say(f"{label} {where}{error.message}")
        if error.hint:
            self.say(f"hint: {error.hint}")


def _styled(text: str, styles: Iterable[str]) -> str:
    codes = ";".join(_STYLES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text
