"""A first services.yaml, from package.json scripts, workspaces, a Procfile, or nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from devrun.config.checks import NAME_PATTERN, RESERVED
from devrun.config.entry import is_inside
from devrun.config.files import legible
from devrun.config.frameworks import find_reader, find_server
from devrun.config.load import worktree_top
from devrun.config.render import render_document
from devrun.config.scripts import Package, package_manager, read_package, workspace_packages
from devrun.ports.arithmetic import HIGHEST
from devrun.ports.names import variable_stem

HEAD = """\
# services of this repository: `devrun up` starts them, `devrun check` looks for mistakes
# ports are those of the main checkout; every other worktree gets its own
"""
FIRST_PORT = 3000
_SCRIPTS = ("dev", "start:dev", "develop", "serve", "start")
_PORT = re.compile(r"(?:--port[= ]|-p[= ]?|\bPORT=)([1-9][0-9]{3,4})\b")


class Proposal(NamedTuple):
    """The text of the file, and what it was made from."""

    text: str
    reason: str


def propose(folder: str, *, has_procfile: bool) -> Proposal:
    """Return a services.yaml for a folder."""
    if has_procfile:
        return _of_procfile()
    root = read_package(folder)
    packages = [each for each in workspace_packages(folder) if _script(each) is not None]
    packages = [each for each in packages if _can_be_named(each.folder, folder)]
    if packages:
        count = f"{len(packages)} package{'s' if len(packages) > 1 else ''}"
        return _of_packages(packages, folder, f"{count} of the workspace with a dev script")
    if root is not None and _script(root) is not None:
        return _of_packages([root], folder, f"the script `{_script(root)}` of package.json")
    if os.path.lexists(os.path.join(folder, "manage.py")):
        services = {"web": {"command": "python manage.py runserver ${PORT}", "port": 8000}}
        return Proposal(HEAD + render_document({"services": services}), "manage.py of a Django project")
    services = {"web": {"command": "python3 -m http.server ${PORT} --bind 127.0.0.1", "port": FIRST_PORT}}
    return Proposal(HEAD + render_document({"services": services}), "nothing was found, an example to change")


def _of_procfile() -> Proposal:
    text = (
        f"{HEAD}procfile: Procfile\n"
        "# a line of the Procfile gets more keys here, by its name:\n"
        "# services:\n"
        "#   web: {port: 5000, ready: {http: /}}\n"
    )
    return Proposal(text, "the lines of the Procfile")


def _of_packages(packages: Iterable[Package], folder: str, reason: str) -> Proposal:
    manager = package_manager(folder)
    services: dict[str, dict[str, Any]] = {}
    stems: set[str] = set()
    taken: set[int] = set()
    for package in packages:
        name = _service_name(package, folder, stems)
        services[name] = _entry(package, folder, manager, taken)
    return Proposal(HEAD + render_document({"services": services}), reason)


def _entry(package: Package, folder: str, manager: str, taken: set[int]) -> dict[str, Any]:
    script = _script(package) or _SCRIPTS[0]
    line = package.scripts[script]
    command = f"{manager} run {script}" if manager in ("npm", "bun") else f"{manager} {script}"
    entry: dict[str, Any] = {"command": command}
    if package.folder != folder:
        entry["working_dir"] = os.path.relpath(package.folder, folder)
    written, server = _PORT.search(line), find_server(line)
    known = server or find_reader(line)
    if known is None and written is None:
        return entry
    if server is not None and "PORT" not in line:
        entry["command"] = f"{command}{' --' if manager == 'npm' else ''} {server.flag}"
    entry["port"] = _free(int(written[1]) if written is not None else 0, taken)
    return entry


def _free(wanted: int, taken: set[int]) -> int:
    """Return a base that no service has; those that are made up differ in their last digit."""
    if 0 < wanted <= HIGHEST and wanted not in taken:
        taken.add(wanted)
        return wanted
    digits = {each % 10 for each in taken}
    base = next((each for each in range(FIRST_PORT, FIRST_PORT + 10) if each % 10 not in digits), None)
    if base is None:
        base = next(each for each in range(FIRST_PORT, HIGHEST + 1) if each not in taken)
    taken.add(base)
    return base


def _can_be_named(folder: str, root: str) -> bool:
    """Say whether `working_dir` may be a folder: a text without templates, in the worktree wherever links lead."""
    name = os.path.relpath(folder, root)
    top = os.path.realpath(worktree_top(root) or root)
    return "${" not in name and legible(name) == name and is_inside(os.path.realpath(folder), top)


def _script(package: Package) -> str | None:
    """Return the script that starts a package for development; a runner of other packages is none."""
    found = next((each for each in _SCRIPTS if package.scripts.get(each, "").strip()), None)
    return (
        None if found is None or re.match(r"(?:npx )?(?:turbo|lerna|nx run-many)\b", package.scripts[found]) else found
    )


def _service_name(package: Package, folder: str, stems: set[str]) -> str:
    base = os.path.basename(package.folder) if package.folder != folder else package.name.rpartition("/")[2]
    base = re.sub(r"[^A-Za-z0-9_.-]", "-", base)[:40]
    if re.fullmatch(NAME_PATTERN, base) is None or base.lower() == RESERVED:
        base = "web"
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    name = next(each for each in names if variable_stem(each) not in stems)
    stems.add(variable_stem(name))
    return name
