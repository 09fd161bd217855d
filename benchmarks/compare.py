"""Launchers side by side: who is installed, a project for all of them, their turns, and the table of times.

honcho is taken from devrun's own environment, foreman from PATH when it is there.  They take turns, so
that a slow moment of the machine hits all of them; ratios are of medians, to honcho.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

Times = Mapping[str, float]
"""Seconds, by what was measured."""


class Measure(Protocol):
    """One turn of one launcher."""

    def __call__(self, command: list[str], environment: dict[str, str], /) -> Times:
        """Start it in the current folder, see it end, return what that took."""
        ...


class Options(NamedTuple):
    """What such a benchmark is asked for."""

    services: int
    rounds: int
    json: bool


def read_options(description: str, *, services: int) -> Options:
    """Read the command line; `services` is the default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=services)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    return Options(**vars(parser.parse_args()))


def launchers() -> dict[str, list[str]]:
    """Return the command line of everybody who is installed."""
    here = os.path.dirname(sys.executable)
    found = {"honcho": [os.path.join(here, "honcho"), "start"], "devrun": [os.path.join(here, "devrun"), "up"]}
    foreman = shutil.which("foreman")
    if foreman is not None:
        found["foreman"] = [foreman, "start"]
    return {name: command for name, command in found.items() if os.path.exists(command[0])}


def environment_in(folder: str) -> dict[str, str]:
    """Return the environment for programs that keep their state in `folder` and nothing elsewhere."""
    environment = {**os.environ, "DEVRUN_STATE_DIR": os.path.join(folder, "state")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its byte code
    return environment


def enter_project(folder: str, lines: Sequence[str]) -> dict[str, str]:
    """Make a git repository with a Procfile and go there; return the environment of launchers in it."""
    project = os.path.join(folder, "project")
    subprocess.run(["git", "init", "-q", project], check=True)
    os.chdir(project)
    with open("Procfile", "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return environment_in(folder)


def take_turns(
    commands: Mapping[str, list[str]], environment: dict[str, str], rounds: int, measure: Measure
) -> dict[str, list[Times]]:
    """Measure everybody once a round.  The first round fills caches and writes byte code: it does not count."""
    samples: dict[str, list[Times]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            times = measure(command, environment)
            if turn:
                samples[name].append(times)
    return samples


def show(options: Options, samples: Mapping[str, Sequence[Times]]) -> None:
    """Print median and best of everybody, in milliseconds, and how many times honcho's median that is."""
    table = {
        name: {what: _figures([each[what] for each in found]) for what in found[0]} for name, found in samples.items()
    }
    if options.json:
        print(json.dumps({"services": options.services, "rounds": options.rounds, "milliseconds": table}))
        return
    print(f"{options.services} services, {options.rounds} rounds; ms, median (best); × honcho, by median")
    for name, row in table.items():
        cells = []
        for what, each in row.items():
            ratio = each["median"] / table["honcho"][what]["median"]
            cells.append(f"{what} {each['median']:6.1f} ({each['best']:6.1f}) {ratio:5.2f} ×")
        print(f"{name:15} " + "   ".join(cells))


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds) * 1000, "best": min(seconds) * 1000}
