"""A newcomer's first minutes: the two commands of the README, the demo, a second worktree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

from tests.support.devrun import PROGRAM, devrun_json
from tests.support.processes import wait_until
from tests.support.readme import read_readme, setup_commands

URL = r"^ +{} +(http://localhost:\d+)"


def fetch(url):
    """Fetch a page from a server that is just being started."""
    return wait_until(lambda: _try(url), f"{url} answers")


def _try(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.URLError:
        return ""


def addresses(shown, *services):
    return {name: shown.read_until(URL.format(name))[1] for name in services}


def test_the_first_command_of_the_readme_ends_in_a_running_demo(clone, terminal, elsewhere, monkeypatch, tmp_path):
    """Nothing of ours on PATH, no virtual environment, an empty home."""
    ours = os.path.dirname(sys.executable)
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if os.path.realpath(each) != ours]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    shown = terminal(["bash", "-c", f"{setup_commands(read_readme())[0]}; exit $?"], cwd=clone.path)
    shown.read_until(r"devrun main · slot \d+ · offset \d+", timeout=180)
    web = addresses(shown, "web")["web"]
    shown.read_until(r"web +\| web listens")
    assert "This page belongs to one worktree" in fetch(web)
    shown.interrupt()
    assert shown.wait() == 130
    assert re.search(r"stopped.* in \d", shown.text.splitlines()[-1])


def test_the_demo_shows_its_worktree_and_its_data(clone, terminal, elsewhere):
    shown = terminal([PROGRAM, "up"], cwd=clone.path)
    urls = addresses(shown, "api", "web")
    shown.read_until(r"^worker +\| job \d+: ")
    facts = json.loads(fetch(urls["web"] + "/facts"))
    assert facts["worktree"] == clone.path
    assert {each["name"]: each["url"] for each in facts["services"]}.items() >= urls.items()
    assert json.loads(fetch(urls["web"] + "/api/events"))["events"]
    assert not re.search(r"^docs +\|", shown.text, re.MULTILINE)
    shown.interrupt()
    assert shown.wait() == 130


def test_prefixes_are_aligned_and_coloured(clone, terminal, elsewhere):
    shown = terminal([PROGRAM, "up"], cwd=clone.path)
    shown.read_until(r"^worker +\| job 1")
    bars = {line.index(" | ") for line in shown.text.splitlines() if re.match(r"(api|web|worker) +\| ", line)}
    assert len(bars) == 1
    assert "\x1b[" in shown.raw
    shown.interrupt()
    shown.wait()


def test_the_docs_start_when_they_are_named(clone, terminal, elsewhere):
    shown = terminal([PROGRAM, "up", "docs"], cwd=clone.path)
    docs = addresses(shown, "docs")["docs"]
    assert "The docs service" in fetch(docs)
    assert "web" not in [line.split()[0] for line in shown.text.splitlines() if line.strip()]
    shown.interrupt()
    assert shown.wait() == 130


def test_two_worktrees_run_the_demo_at_once(clone, terminal):
    """Each page is its own worktree's."""
    second, third = clone.worktree("second"), clone.worktree("third")
    shown = {root: terminal([PROGRAM, "up"], cwd=root) for root in (second, third)}
    urls = {root: addresses(each, "web")["web"] for root, each in shown.items()}
    assert len(set(urls.values())) == 2
    for root, each in shown.items():
        each.read_until(r"^worker +\| job \d+: ")
        assert json.loads(fetch(urls[root] + "/facts"))["worktree"] == root
    for each in shown.values():
        each.interrupt()
        assert each.wait() == 130


def test_the_procfile_example_runs(clone, terminal, elsewhere):
    shown = terminal([PROGRAM, "up", "-f", "Procfile.example"], cwd=clone.path)
    web = addresses(shown, "web")["web"]
    shown.read_until(r"^worker +\| job \d+: ")
    assert json.loads(fetch(web + "/api/events"))["events"]
    shown.interrupt()
    assert shown.wait() == 130


def test_the_configurations_of_the_examples_are_without_problems(clone):
    for folder in (".", "examples/node-monorepo"):
        problems = devrun_json("check", cwd=os.path.join(clone.path, folder))["problems"]
        assert problems == []


def test_the_wheel_carries_the_program_and_nothing_else(clone, tmp_path):
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path / "wheels"), clone.path]
    subprocess.run(words, check=True)
    (wheel,) = os.listdir(tmp_path / "wheels")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(tmp_path / "wheels" / wheel)],
        capture_output=True,
        text=True,
        check=True,
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()[1:]}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"devrun"}
    assert "devrun/py.typed" in listed.stdout
