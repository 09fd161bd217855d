"""Who may have a text in the command line: a cheap look at everybody, for a text that few have.

A third of what reading the columns of everybody costs.  It only narrows down: there is no identity in
it, so whoever is found is read again, by identity, and judged by what is read then.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from devrun.system.commandlines import interpreter_of, resolve_script, split_command_line
from devrun.system.environments import parse_environment
from devrun.system.processes import is_portable

_DELETED = b" (deleted)"  # what the kernel puts behind a path that is gone, proc(5)


def find_mentions(words: Iterable[str]) -> frozenset[int] | None:
    """Return the pids that have one of `words` in an argument, or in the path of their executable or script.

    None where there is no cheap look: everybody may.  Without words nobody does.  A process whose
    command line cannot be read mentions nothing.
    """
    sought = tuple(words)
    needles = [word.encode() for word in sought]
    if not needles:
        return frozenset()
    if is_portable():
        return None
    found = []
    for name in os.listdir(b"/proc"):
        if not name.isdigit():
            continue
        folder = b"/proc/" + name
        raw = _read(folder + b"/cmdline")
        if not raw:  # a kernel thread, a zombie, or gone
            continue
        exe = (_link(folder + b"/exe") or b"").removesuffix(_DELETED)
        script = _script(folder, raw, exe)
        if any(needle in raw or needle in exe for needle in needles) or any(word in script for word in sought):
            found.append(int(name))
    return frozenset(found)


def _script(folder: bytes, raw: bytes, exe: bytes) -> str:
    """Return the real path of the script that an interpreter runs: `.bin/mint` is a link to what is looked for."""
    if not _is_interpreter(exe, raw[: raw.find(b"\0")]):
        return ""

    def cwd() -> str | None:
        link = _link(folder + b"/cwd")
        if link is None:
            return None
        is_deleted = link.endswith(_DELETED) and not os.path.lexists(link)
        return os.fsdecode(link.removesuffix(_DELETED) if is_deleted else link)

    def started_in() -> str | None:
        environment = parse_environment(_read(folder + b"/environ") or b"")
        return None if environment is None else environment.pwd

    script = resolve_script(split_command_line(raw), os.fsdecode(exe) or None, cwd, started_in)
    return script or ""  # as text: not every file system encoding can write what was read as UTF-8


@functools.lru_cache(maxsize=512)  # asked of every process, and most of them run one of a few programs
def _is_interpreter(exe: bytes, first: bytes) -> bool:
    return any(interpreter_of(os.fsdecode(each)) is not None for each in (exe, first))


def _read(path: bytes) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        block = chunk = os.read(descriptor, 65536)
        while len(chunk) >= 4096:  # noqa: PLR2004 - proc files are handed out in pages: less than one is the end
            chunk = os.read(descriptor, 65536)
            block += chunk
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return block


def _link(path: bytes) -> bytes | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
