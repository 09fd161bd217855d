r"""`match` as people write it: a substring of a command line, and nothing that only mentions it.

The line is argv joined by blanks.  The executable and an interpreter's script always count, in
every form they are known in (as typed, and what it resolves to: `.bin/mint` is a link).  Any other
element counts only if it holds no white space: a prompt, a `-c` program, a commit message is not a
command.  What does not count is a barrier, so that a match cannot reach over it.

Facts that are missing (argv `None`) match nothing, and so does an empty pattern.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from devrun.model import ProcessRecord

_BARRIER = "\0"
_NO_VALUE = frozenset({"-m"})


def matches(pattern: str, record: ProcessRecord, /) -> bool:
    """Say whether `pattern` is part of the command line of `record`."""
    if not pattern.strip() or _BARRIER in pattern or not record.argv:
        return False
    first = pattern.split(maxsplit=1)[0]  # a cheap look that spares most processes the careful one
    if not any(first in word for word in (*record.argv, record.exe or "", record.script or "")):
        return False
    return any(pattern in line for line in command_lines(record))


def command_lines(record: ProcessRecord, /) -> Iterator[str]:
    """Yield the command line in each form it is known in: as typed, script resolved, executable resolved."""
    argv = record.argv or ()
    if not argv:
        return
    script = script_index(record)
    words = [
        word if index in (0, script) or not _has_blank(word) else _BARRIER for index, word in enumerate(argv) if word
    ]
    yield " ".join(words)
    if script is not None and record.script and record.script != argv[script]:
        yield " ".join([argv[0], record.script, *_rest(argv, script)])
        yield " ".join([record.script, *_rest(argv, script)])
    if record.exe and record.exe != argv[0] and len(argv) > 1:
        yield " ".join([record.exe, *_rest(argv, 0)])
    elif record.exe:
        yield record.exe


def script_index(record: ProcessRecord, /) -> int | None:
    """Return the position in argv of the script an interpreter runs, None when there is none.

    `record.script` is that argument's real path; the argument itself is the one that ends the same,
    or that is the first one an interpreter does not take for an option.
    """
    argv = record.argv or ()
    if record.script is None:
        return None
    name = os.path.basename(record.script)
    plain = [index for index, word in enumerate(argv) if index and not word.startswith("-")]
    same = [index for index in plain if os.path.basename(argv[index]) == name]
    return next(iter(same or plain), None)


def module_of(argv: tuple[str, ...] | None, /) -> str | None:
    """Return the module of `python -m MODULE`, None when there is none."""
    words = argv or ()
    for index, word in enumerate(words[:-1]):
        if index and not word.startswith("-"):
            return None
        if word in _NO_VALUE:
            return words[index + 1]
    return None


def _rest(argv: tuple[str, ...], index: int) -> list[str]:
    return [_BARRIER if _has_blank(word) else word for word in argv[index + 1 :] if word]


def _has_blank(word: str) -> bool:
    return any(character.isspace() for character in word)
