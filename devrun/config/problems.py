"""Everything wrong with a configuration, collected, so that one run shows more than one mistake."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from devrun.config.project import Place
from devrun.errors import ConfigError

MAX_SHOWN = 8  # fewer hides mistakes that could be mended in one go, more scrolls the first one away


class Problem(Struct, frozen=True):
    """One mistake: the fact, what helps, and where it is."""

    message: str
    hint: str | None
    place: Place


class InvalidConfigError(ConfigError):
    """A configuration with mistakes; `problems` has each, the message shows the first ones."""

    def __init__(self, problems: tuple[Problem, ...], /) -> None:
        first, *others = problems
        lines = [first.message, *(f"  {each.place}: {_line(each)}" for each in others[: MAX_SHOWN - 1])]
        if len(others) >= MAX_SHOWN:
            lines.append(f"  … and {len(others) - MAX_SHOWN + 1} more: `devrun check`")
        super().__init__("\n".join(lines), hint=first.hint, where=str(first.place))
        self.problems = problems
        self._lines = tuple(lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The mistakes, the first one without its place."""
        return self._lines


def _line(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


class Problems:
    """The collector.  Add mistakes while reading on; `raise_any` ends the reading when there are some."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, message: str, place: Place, *, hint: str | None = None) -> None:
        """Remember a mistake; the same one at the same place counts once."""
        problem = Problem(message, hint, place)
        if problem not in self._found:
            self._found.append(problem)

    def __len__(self) -> int:
        return len(self._found)

    def raise_any(self) -> None:
        """Raise InvalidConfigError when anything was added."""
        if self._found:
            files = list(dict.fromkeys(each.place.path for each in self._found))
            order = {path: index for index, path in enumerate(files)}
            found = sorted(self._found, key=lambda each: (order[each.place.path], each.place.line, each.place.column))
            raise InvalidConfigError(tuple(found))


def did_you_mean(word: str, known: Iterable[str], /) -> str | None:
    """Return the hint ``did you mean `port`?`` for a slip of the finger, or None."""
    from difflib import get_close_matches

    choices = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return f"did you mean `{choices[close[0]]}`?" if close else None
