"""A worktree to write configuration files into, and to load it from."""

from __future__ import annotations

import os
import textwrap

import pytest

from devrun.config.load import load_project
from devrun.errors import ConfigError


class Folder:
    """A checkout (it has `.git`) with files."""

    def __init__(self, path):
        self.path = str(path)
        os.makedirs(os.path.join(self.path, ".git"))

    def write(self, name, text, *, raw=False):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode() if raw else textwrap.dedent(text).encode())
        return path

    def load(self, text=None, *, name="services.yaml", **options):
        if text is not None:
            self.write(name, text)
        return load_project(start=self.path, environ=options.pop("environ", {}), **options)

    def service(self, text, name="web", **options):
        """Load one service from its keys."""
        lines = textwrap.indent(textwrap.dedent(text), "    ")
        return self.load(f"services:\n  {name}:\n{lines}\n", **options).services[name]

    def refuse(self, text=None, **options):
        """Return the ConfigError that loading raises."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, **options)
        return caught.value


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "checkout")
