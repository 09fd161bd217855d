"""What the matrix shares: an arena of shapes, and bystanders that look just like them."""

from __future__ import annotations

import contextlib

import pytest

from tests.e2e.conftest import path_of_node_tools
from tests.support.arena import Arena

__all__ = ["path_of_node_tools"]


@pytest.fixture
def arena(tmp_path):
    """Make arenas: `arena(shapes=…, grace=…)`; closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*words, **options):
            made = Arena(tmp_path, *words, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def innocent(processes, bystander, tmp_path):
    """Plant processes that look like services and are not of this run: each must live to the end.

    The same program with the same words in the sibling worktree and nowhere; a quiet one without a
    terminal in a folder of the same repository.
    """

    def plant(arena):
        roll = processes.handshake()
        for folder in (arena.other, tmp_path, arena.repository.path):
            bystander(roll.argv("listener"), cwd=folder, start_new_session=True)
        roll.wait(3)

    return plant


@pytest.fixture(params=["", "1"], ids=["linux", "portable"])
def platform(request, monkeypatch):
    """Run on this system's own helpers, and on what every POSIX system has."""
    if request.param:
        monkeypatch.setenv("DEVRUN_PORTABLE", request.param)
    return "portable" if request.param else "linux"
