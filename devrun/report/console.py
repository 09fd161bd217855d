"""Where words go: answers to stdout, narration to stderr, colour decided once.

A command gets one `Output`.  With `--json` the answer is one object and everything else stays on
stderr; a command never asks whether it runs on a terminal.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from devrun.errors import DevrunError
from devrun.report.visible import OURS, printable, visible

FORMAT_VERSION = 1
PATIENCE = 0.5
"""Seconds to wait for a terminal that does not read before a line of narration is dropped."""
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def wants_colour(stream: TextIO | None, *, choice: str = "auto") -> bool:
    """Decide on colour: `--color`, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal.

    https://no-color.org: any value that is not empty turns colour off.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


class UnwritableError(OSError):
    """Stdout does not take the answer: a full disk, a dead device.  A reader that went away is BrokenPipeError."""


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
        return not self.json and sys.stdout is not None and sys.stdout.isatty()

    def style(self, text: str, *styles: str) -> str:
        """Return `text` in the styles named, for stdout; plain where colour is off."""
        return _styled(text, styles) if self._colour_out else text

    def answer(self, kind: str, data: Any, lines: Iterable[str] = (), *, verbatim: bool = False) -> None:
        """Print the answer: one JSON object with `--json`, otherwise the lines for people.

        `verbatim` lines are for programs, as they are; in others, control characters are shown as escapes.
        """
        if self.json:
            said: Iterable[str] = [encode_json({"devrun": FORMAT_VERSION, "kind": kind, "data": data})]
        else:
            said = lines if verbatim else map(visible, lines)
        for line in said:
            with explained():
                _write(sys.stdout, line)
        self.flush()

    def flush(self) -> None:
        """Hand over what was printed.  Raises UnwritableError, BrokenPipeError."""
        with explained():
            if sys.stdout is not None:
                sys.stdout.flush()

    def say(self, line: str, *, end: str = "\n") -> None:
        """Narrate on stderr; a terminal that has stopped reading must not stop devrun."""
        with contextlib.suppress(OSError):
            if sys.stderr is not None and _takes_writes(sys.stderr):
                _write(sys.stderr, visible(line), end)
                sys.stderr.flush()

    def emphasize(self, text: str) -> str:
        """Return `text` in bold where narration may have colour."""
        return _styled(text, ("bold",)) if self._colour_err else text

    def fail(self, error: DevrunError, *, exit_code: int | None = None) -> None:
        """Show an expected error: fact, place, hint; as JSON on stdout with `--json`.

        `exit_code` is what the command returns where it is not the error's own (a service's code).
        """
        if self.json:
            facts = {"message": error.message, "hint": error.hint, "where": error.where}
            self.answer("error", {**facts, "code": error.exit_code if exit_code is None else exit_code})
        first, *others = error.lines
        self.complain(f"{error.where}: {first}" if error.where else first, *others, hint=error.hint)

    def complain(self, message: str, *others: str, hint: str | None = None) -> None:
        """Narrate that something is wrong, `others` that are too, and what helps next."""
        label = _styled("error:", ("red", "bold")) if self._colour_err else "error:"
        for line in (f"{label} {message}", *others):
            self.say(line)
        if hint:
            self.say(f"hint: {hint}")


class AnswerBytes:
    """Stdout for answers that are bytes; fails as `Output.answer` does."""

    def write(self, data: bytes) -> None:
        """Write, buffered."""
        with explained():
            if sys.stdout is not None:
                sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Hand over what was written."""
        with explained():
            if sys.stdout is not None:
                sys.stdout.buffer.flush()


def encode_json(value: Any) -> str:
    """Return `value` as JSON text, always valid UTF-8: bytes of a path that are none become U+FFFD."""
    import msgspec

    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(printable(msgspec.to_builtins(value))).decode()


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise UnwritableError where stdout takes no more; BrokenPipeError, where nobody reads it, goes through."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableError(*error.args) from error


def _write(stream: TextIO | None, line: str, end: str = "\n") -> None:
    """Write a line; None is a stream that was closed before devrun started."""
    if stream is None:
        return
    try:
        stream.write(line + end)
    except UnicodeEncodeError:
        stream.write(line.encode(errors="backslashreplace").decode() + end)


def _takes_writes(stream: TextIO) -> bool:
    try:
        return bool(select.select([], [stream.fileno()], [], PATIENCE)[1])
    except (OSError, ValueError):  # not a descriptor that can be asked: a test's, or a file
        return True


def _styled(text: str, styles: Iterable[str]) -> str:
    codes = ";".join(_STYLES[style] for style in styles)
    return f"{OURS}[{codes}m{text}{OURS}[0m" if codes else text
