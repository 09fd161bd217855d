"""What the stories share: a copy of this repository, and the node monorepo with its packages installed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess

import pytest

from tests.__main__ import install_node_tools, install_programs
from tests.support.monorepo import CACHE, MONOREPO, NOT_COPIED, link_packages
from tests.support.readme import ROOT
from tests.support.repositories import Repository


@pytest.fixture(scope="session")
def path_of_node_tools():
    """Install what `node` tests need; return the PATH that has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])
        install_programs()
        install_node_tools()
        return os.environ["PATH"]


@pytest.fixture(autouse=True)
def node_tools(request, monkeypatch):
    """Give tests with the marker `node` a PATH with node and pnpm, however pytest was started."""
    if request.node.get_closest_marker("node"):
        monkeypatch.setenv("PATH", request.getfixturevalue("path_of_node_tools"))


@pytest.fixture(scope="session")
def installed_monorepo(path_of_node_tools):
    """Install the monorepo's packages once per lock file, beside the repository; return the folder."""
    with open(os.path.join(MONOREPO, "package-lock.json"), "rb") as lock:
        folder = os.path.join(CACHE, f"monorepo-{hashlib.sha256(lock.read()).hexdigest()[:12]}")
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "lock"), "w", encoding="utf-8") as guard:  # one of several pytest workers
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, "installed")):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(MONOREPO, folder, ignore=NOT_COPIED)
            words = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
            subprocess.run(words, cwd=folder, check=True, env={**os.environ, "PATH": path_of_node_tools})
            with open(os.path.join(folder, "installed"), "w", encoding="utf-8"):
                pass
    return folder


@pytest.fixture
def monorepo(installed_monorepo, tmp_path):
    """Make a repository of the node monorepo, packages included (as hard links)."""
    target = tmp_path / "monorepo"
    shutil.copytree(MONOREPO, target, ignore=NOT_COPIED)
    made = Repository(target, {"services.local.yaml": "{}\n"})
    link_packages(installed_monorepo, made.path)
    return made


@pytest.fixture
def elsewhere(monkeypatch):
    """Keep clear of whoever uses the plain ports on this machine: a slot per pytest worker."""
    monkeypatch.setenv("DEVRUN_PIN_SLOT", str(800 + os.getpid() % 200))  # above 10080, which browsers refuse


@pytest.fixture
def clone(tmp_path):
    """Copy this repository's files (as git lists them, changes included) into a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [name for name in listed.stdout.decode().split("\0") if name]
    target = tmp_path / "clone"
    for name in files:
        if os.path.isfile(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(target / name), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), target / name)
    return Repository(target, {})
