"""The node monorepo of the examples: where its packages are kept, and how a checkout gets them."""

from __future__ import annotations

import os
import shutil

from tests.support.readme import ROOT

MONOREPO = os.path.join(ROOT, "examples", "node-monorepo")
CACHE = os.path.join(ROOT, ".devrun-node-cache")
NOT_COPIED = shutil.ignore_patterns("node_modules", "dist", ".next", ".venv", "__pycache__")


def link_packages(installed: str, target: str) -> None:
    """Give a checkout of the monorepo its `node_modules`, without copying 390 MB."""
    for where, folders, _ in os.walk(installed):
        if "node_modules" in folders:
            folders.remove("node_modules")
            source = os.path.join(where, "node_modules")
            copy = os.path.join(target, os.path.relpath(source, installed))
            shutil.copytree(source, copy, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)
