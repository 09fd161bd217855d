"""package.json and its workspaces: which script a command such as `pnpm --filter web dev` runs."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from devrun.config.files import is_there, read_source
from devrun.errors import ConfigError

MAX_PACKAGES = 200  # more make `init` slow and its file unreadable
_LOCKS = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun"))
_MANAGERS = frozenset(("npm", "pnpm", "yarn", "bun"))
_WITH_VALUE = frozenset(("--filter", "-F", "-C", "--dir", "--prefix", "--cwd", "-w", "--workspace"))
_FOLDER_FLAGS = frozenset(("-C", "--dir", "--prefix", "--cwd"))
_PACKAGE_FLAGS = frozenset(("--filter", "-F", "-w", "--workspace"))
_NO_SCRIPTS = frozenset(("exec", "dlx", "x", "install", "i", "add", "create", "init", "ci", "build"))


class Package(NamedTuple):
    """A package.json: its folder, its name, its scripts."""

    folder: str
    name: str
    scripts: Mapping[str, str]


class ScriptCall(NamedTuple):
    """What a command such as `npm run dev` really runs, and how it passes further words on."""

    script: str
    needs_dashes: bool


def read_package(folder: str) -> Package | None:
    """Return the package.json of a folder; None when there is none that can be read."""
    data = _read_json(os.path.join(folder, "package.json"))
    if data is None:
        return None
    scripts = data.get("scripts")
    texts = {key: each for key, each in scripts.items() if isinstance(each, str)} if isinstance(scripts, dict) else {}
    name = data.get("name")
    return Package(folder, name if isinstance(name, str) else os.path.basename(folder), texts)


def package_manager(folder: str) -> str:
    """Return which package manager a folder uses, by its lock file: npm when nothing says."""
    return next((manager for lock, manager in _LOCKS if is_there(os.path.join(folder, lock))), "npm")


def workspace_packages(root: str) -> list[Package]:
    """Return the packages of a workspace (pnpm-workspace.yaml, or `workspaces` in package.json)."""
    packages = []
    for folder in sorted(_workspace_folders(root)):
        package = read_package(folder)
        if package is not None:
            packages.append(package)
    return packages[:MAX_PACKAGES]


def called_script(command: str | tuple[str, ...], folder: str, root: str) -> ScriptCall | None:
    """Return the script a command runs through a package manager; None when it runs none that is found."""
    words = re.split(r"\s+", command.strip()) if isinstance(command, str) else list(command)
    if not words or os.path.basename(words[0]) not in _MANAGERS:
        return None
    manager, rest = words[0], iter(words[1:])
    name = None
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in _WITH_VALUE:
            value = value if equals else next(rest, "")
            folder = os.path.join(folder, value) if flag in _FOLDER_FLAGS else folder
            folder = _folder_of(value, root) or folder if flag in _PACKAGE_FLAGS else folder
        elif word in _NO_SCRIPTS:
            return None
        elif word not in ("run", "workspace") and not word.startswith("-"):
            name = word
            break
    package = read_package(folder)
    script = package.scripts.get(name) if package is not None and name is not None else None
    return None if script is None else ScriptCall(script, needs_dashes=manager == "npm")


def _folder_of(name: str, root: str) -> str | None:
    wanted = name.strip("'\"").rstrip("./^")
    return next((each.folder for each in workspace_packages(root) if each.name == wanted), None)


def _workspace_folders(root: str) -> Iterator[str]:
    seen = {os.path.realpath(root)}
    for pattern in _workspace_patterns(root):
        if pattern.startswith(("!", "/")) or ".." in pattern or "\0" in pattern:
            continue
        for folder in sorted(_matching(root, [part for part in pattern.split("/") if part not in ("", ".")])):
            real = os.path.realpath(folder)
            if real not in seen and is_there(os.path.join(folder, "package.json")):
                seen.add(real)
                yield folder
                if len(seen) > MAX_PACKAGES:
                    return


def _matching(folder: str, segments: list[str]) -> set[str]:
    """Return the folders that a pattern of a workspace names below `folder`.

    `**` follows no links: packages have links to each other in their `node_modules`, which nothing enters,
    and `glob` would go every way through them.
    """
    found = {folder}
    for segment in segments:
        if segment == "**":
            found = {below for each in found for below in _everything(each)}
        else:
            found = {
                entry.path
                for each in found
                for entry in _subfolders(each)
                if entry.name == segment or (entry.name[0] != "." and fnmatch.fnmatchcase(entry.name, segment))
            }
    return found


def _everything(folder: str) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        yield (here := waiting.pop())
        waiting += [
            entry.path for entry in _subfolders(here) if not entry.is_symlink() and not entry.name.startswith(".")
        ]


def _subfolders(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [each for each in entries if each.name != "node_modules" and os.path.isdir(each)]
    except OSError:
        return []


def _workspace_patterns(root: str) -> list[str]:
    from devrun.config.document import read_document
    from devrun.config.value import unwrap

    path = os.path.join(root, "pnpm-workspace.yaml")
    found: Any = None
    if is_there(path):
        try:
            found = unwrap(read_document(read_source(path))).get("packages")
        except ConfigError:
            return []
    else:
        found = (_read_json(os.path.join(root, "package.json")) or {}).get("workspaces")
        found = found.get("packages") if isinstance(found, dict) else found
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        data = msgspec.json.decode(read_source(path).text.encode())
    except (ConfigError, msgspec.DecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
