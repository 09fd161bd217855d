"""Rows of words become aligned lines; the last column is left as long as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, head: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the header (styled by `head`) and the rows, each column as wide as its longest word."""
    table = [header, *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    for number, row in enumerate(table):
        line = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        yield head(line) if number == 0 else line
