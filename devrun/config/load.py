"""The configuration of a worktree: found upwards, read, checked, and returned as one Project.

services.yaml counts before a Procfile, wherever it is found: from the start upwards to the top of
the worktree (the folder with `.git`), else to the root of the file system.  services.local.yaml
lies over it.  A Procfile alone is enough.  Everything wrong raises ConfigError with its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from msgspec import Struct

from devrun.config.entry import Folders
from devrun.config.files import is_there, legible, read_source, shown
from devrun.config.problems import Problems
from devrun.config.project import Place, Project
from devrun.config.value import Value
from devrun.errors import ConfigError, UsageError, reason_of
from devrun.worktrees.locate import is_submodule

YAML_NAMES = ("services.yaml", "services.yml")
PROCFILE = "Procfile"
EXAMPLE = "Procfile.example"
_YAML_ENDINGS = (".yaml", ".yml", ".json")


class Found(Struct, frozen=True):
    """The file that was found or asked for, and whether it is a Procfile."""

    path: str
    is_procfile: bool


def load_project(
    *,
    start: str,
    file: str | None = None,
    formation: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Read the configuration that counts in the folder `start`, or `file`.

    `formation` is `web=2,worker=1` of the command line.  `environ` (default: the process's own) is
    where `port_env` looks.  Raises ConfigError; UsageError when `start` or `file` does not exist.
    """
    from devrun.config.build import Inputs, build_project
    from devrun.config.overlay import merge, tidy

    start = os.path.abspath(start)
    found = find_config(start, file)
    root = os.path.dirname(found.path)
    name = shown(found.path, start)
    problems = Problems()
    if found.is_procfile:
        document = Value(Place(name, 1), {})
    else:
        document = tidy(_read(found.path, name), problems)
        _refuse_slot(document.get("ports", "slot"), problems)
    overlay = _overlay_path(found)
    if is_there(overlay):
        document = merge(document, tidy(_read(overlay, shown(overlay, start)), problems))
    procfile = found.path if found.is_procfile else None
    folders = Folders(root, worktree_top(root) or root)
    inputs = Inputs(folders, found.path, start, os.environ if environ is None else environ, procfile, formation)
    return build_project(document, inputs, problems)


def _read(path: str, name: str) -> Value:
    """Read YAML.  Its parser is dear to import, and a Procfile alone does without."""
    from devrun.config.document import read_document

    return read_document(read_source(path, name=name))


def find_config(start: str, file: str | None = None) -> Found:
    """Return the file to read; raise ConfigError when there is none, saying where it was looked for."""
    if not os.path.isdir(start):
        raise _no_folder(start)
    if file is not None:
        path = os.path.normpath(os.path.join(start, os.path.expanduser(file)))
        if not is_there(path):
            raise UsageError(f"`{legible(file)}` does not exist", hint=_listing_hint(start))
        return Found(path, not path.lower().endswith(_YAML_ENDINGS))
    folders = list(_upwards(start))
    for names in (YAML_NAMES, (PROCFILE,)):
        for folder in folders:
            there = [name for name in names if is_there(os.path.join(folder, name))]
            if len(there) > 1:
                raise ConfigError(f"`{folder}` has both `{there[0]}` and `{there[1]}`", hint="remove one of them")
            if there:
                return Found(os.path.join(folder, there[0]), there[0] == PROCFILE)
    example = next((folder for folder in folders if is_there(os.path.join(folder, EXAMPLE))), None)
    hint = "`devrun init` writes one"
    if example is not None:
        hint = f"`devrun up -f {shown(os.path.join(example, EXAMPLE), start)}`, or `devrun init`"
    where = f"`{start}`" if len(folders) == 1 else f"`{start}` or above it, up to `{folders[-1]}`"
    raise ConfigError(f"no services.yaml and no Procfile in {where}", hint=hint)


def _no_folder(start: str) -> UsageError:
    """Say why a folder cannot be looked into; a path of more than 4 kB exists, but has no name that works."""
    try:
        os.stat(start)
    except (FileNotFoundError, NotADirectoryError):
        hint = "`cd` to a folder that exists"
        return UsageError(f"the folder `{legible(start)}` does not exist (any more)", hint=hint)
    except OSError as error:
        return UsageError(f"the folder `{legible(start)}` cannot be read: {reason_of(error)}")
    return UsageError(f"`{legible(start)}` is no folder")


def worktree_top(folder: str) -> str | None:
    """Return the folder with `.git` that `folder` lies in; None outside of a checkout."""
    last = next((each for each in reversed(list(_upwards(folder)))), folder)
    return last if is_there(os.path.join(last, ".git")) else None


def _upwards(start: str) -> Iterator[str]:
    """Yield `start` and the folders above it, up to the worktree's top or the file system's root.

    A submodule is a part of its superproject's worktree: the way leads on.
    """
    folder = os.path.normpath(start)
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder or (is_there(os.path.join(folder, ".git")) and not is_submodule(folder)):
            return
        folder = above


def _overlay_path(found: Found) -> str:
    """Return `services.local.yaml` for services.yaml, `dev.local.yaml` for dev.yaml."""
    folder, name = os.path.split(found.path)
    stem, ending = ("services", ".yaml") if found.is_procfile else os.path.splitext(name)
    return os.path.join(folder, f"{stem}.local{ending}")


def _refuse_slot(slot: object, problems: Problems) -> None:
    if isinstance(slot, Value) and slot.data is not None:
        hint = "a file that is not in git: `echo 'ports: {slot: 3}' > services.local.yaml`"
        problems.add("`ports.slot` would pin every worktree to one slot", slot.place, hint=hint)


def _listing_hint(start: str) -> str | None:
    there = [name for name in (*YAML_NAMES, PROCFILE, EXAMPLE) if is_there(os.path.join(start, name))]
    return "here is " + ", ".join(f"`{each}`" for each in there) if there else None
