"""A project whose runs live in the background: start, talk, and always end them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.support.arena import free_base
from tests.support.devrun import PROGRAM, devrun, devrun_json
from tests.support.processes import Handshake


class Session:
    """A folder with a services.yaml of shapes; `close` ends whatever runs there."""

    def __init__(self, folder: str | os.PathLike[str], handshake: Handshake) -> None:
        self.path = os.path.realpath(folder)
        os.makedirs(self.path, exist_ok=True)
        self.handshake = handshake
        self.base = free_base()

    def services(self, **services: Mapping[str, Any] | str) -> None:
        """Write services.yaml; a text is the name of a shape, and a `listener` gets a port."""
        made: dict[str, Any] = {}
        for index, (name, entry) in enumerate(services.items()):
            settings = {"shape": entry} if isinstance(entry, str) else dict(entry)
            shape = settings.pop("shape", None)
            if shape is not None:
                settings["command"] = self.handshake.argv(*shape.split())
                if shape.startswith("listener"):
                    settings.setdefault("port", self.base + 11 * index)
            made[name] = {"stop": {"timeout": 2}, **settings}
        with open(os.path.join(self.path, "services.yaml"), "w", encoding="utf-8") as file:
            json.dump({"services": made}, file)

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of devrun here."""
        return devrun(*words, cwd=self.path, **options)

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of devrun here; whoever starts it waits for it."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([PROGRAM, *words], cwd=self.path, **{**pipes, **options})

    def json(self, *words: str, **options: Any) -> Any:
        """Run a command with `--json`; return its `data`; it must exit 0."""
        return devrun_json(*words, cwd=self.path, **options)

    def states(self) -> dict[str, str]:
        """Return the state of each service, by `ps`."""
        shown = json.loads(self("ps", "--json").stdout)["data"]
        return {row["name"]: row["state"] for row in shown["services"]}

    def close(self) -> None:
        """End the run."""
        done = self("down")
        assert done.returncode == 0, done.stderr
