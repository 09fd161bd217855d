"""Raw command lines: split what the kernel recorded, find the script an interpreter runs.

Pure, shared by every backend.  A process may write over its own argument area (proc(5),
PR_SET_MM_ARG_START; libuv's `process.title`, setproctitle), so what is read here is what the
process wants to be called; decisions treat it as such.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple


class _Options(NamedTuple):
    """The options of an interpreter that decide which argument is the script.

    `valued` take the next argument (letters may carry it attached), `code` mean that there is no
    script (`-c`, `-e`, `-m`), `verbs` are sub-commands before it; an interpreter with verbs may
    also be given a task name, so only something that looks like a file is taken for a script.
    """

    valued: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELL = _Options(valued=_words("o O rcfile init-file"), code=_words("c s"))
_NODE = _Options(
    valued=_words(
        "r require import loader experimental-loader C conditions env-file env-file-if-exists title watch-path "
        "inspect-port test-reporter test-reporter-destination disable-warning stack-trace-limit"
    ),
    code=_words("e eval p print c check i interactive test run"),
    verbs=_words("inspect"),
)
INTERPRETERS = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "ash"), _SHELL),
    **dict.fromkeys(("node", "nodejs"), _NODE),
    **dict.fromkeys(("python", "pypy"), _Options(_words("W X check-hash-based-pycs"), _words("c m"))),
    "bun": _Options(_words("r preload cwd c config env-file"), _words("e eval p print"), _words("run x exec")),
    "deno": _Options(_words("c config import-map lock r"), _words("eval repl"), _words("run serve")),
    "ruby": _Options(_words("r I C E encoding"), _words("e")),
    "perl": _Options(_words("I M m"), _words("e E")),
    "php": _Options(_words("c d t S z docroot server define php-ini"), _words("r run")),
}
"""Interpreters by base name without version.  Missing here: no `script`, and `match` sees the argument itself only."""


def split_command_line(raw: bytes) -> tuple[str, ...] | None:
    r"""Split the content of /proc/PID/cmdline; None when it is empty (kernel thread, zombie).

    Arguments end in NUL (proc(5)).  A rewritten title is one element, padded with NULs or blanks,
    and stays one: `next-server (v16)\0\0\0` is `("next-server (v16)",)`.  Bytes that are no UTF-8
    become U+FFFD, so that every row can be printed and encoded.
    """
    body = raw.rstrip(b"\0")
    if b"\0" not in body:
        body = body.rstrip(b"\0 ")
    if not body:
        return None
    return tuple(body.decode("utf-8", "replace").split("\0"))


@functools.lru_cache(maxsize=512)  # asked of every process, and most of them run one of a few programs
def interpreter_of(program: str | None) -> str | None:
    """Return the interpreter's name without path and version (`python` of `/x/python3.11`), None for other programs."""
    if not program:
        return None
    name = os.path.basename(program).lstrip("-").lower().rstrip("0123456789.-")
    return name if name in INTERPRETERS else None


def script_argument(argv: tuple[str, ...], exe: str | None) -> str | None:
    """Return the argument an interpreter runs as its script, as written; None when there is none."""
    interpreter = interpreter_of(exe) or (interpreter_of(argv[0]) if argv else None)
    if interpreter is None:
        return None
    options = INTERPRETERS[interpreter]
    rest = iter(argv[1:])
    for argument in rest:
        if argument == "--":
            return next(rest, None)
        if argument.startswith("-") or (interpreter in _PLUS_OPTIONS and argument.startswith("+")):
            if _skips_to_script(argument, options, rest):
                continue
            return None
        if argument in options.verbs:
            continue
        if interpreter in _TASK_RUNNERS and "/" not in argument and "." not in argument:
            return None
        return argument or None
    return None


_PLUS_OPTIONS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_TASK_RUNNERS = frozenset({"bun", "deno"})


def _skips_to_script(option: str, options: _Options, rest: Iterator[str]) -> bool:
    """Step over one option and its value; False when it says that there is no script."""
    if option == "-":
        return False
    if option.startswith("--"):
        name, assigned, _ = option[2:].partition("=")
        if name in options.code:
            return False
        if name in options.valued and not assigned:
            next(rest, None)
        return True
    letters = option[1:]
    for index, letter in enumerate(letters):
        if letter in options.code:
            return False
        if letter in options.valued:
            if index == len(letters) - 1:
                next(rest, None)
            break
    return True


def resolve_script(
    argv: tuple[str, ...] | None,
    exe: str | None,
    cwd: Callable[[], str | None],
    started_in: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Return the real path of the interpreter's script: what `.bin/mint` links to, seen from the process's `cwd`.

    A relative path that is not there was written for the folder the process was started in, `started_in()`
    (`PWD`), before it went elsewhere; PWD comes second because only shells keep it true.  None when
    the process runs no script, or when the path is relative and no folder is known.  A file that is
    gone keeps its path: it still says where the process was started.
    """
    if not argv:
        return None
    script = script_argument(argv, exe)
    if script is None:
        return None
    script = script.removeprefix("file://")
    if not os.path.isabs(script):
        folder = cwd()
        if folder is None or not _exists(folder, script):
            before = started_in()
            folder = before if before and os.path.isabs(before) and _exists(before, script) else folder
        if folder is None:
            return None
        script = os.path.join(folder, script)
    try:
        return os.path.realpath(script)
    except (OSError, ValueError):
        return script


def _exists(folder: str, name: str) -> bool:
    try:
        return os.path.lexists(os.path.join(folder, name))
    except ValueError:  # a NUL
        return False
