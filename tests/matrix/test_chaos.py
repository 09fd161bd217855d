"""Random events over eight worktrees: at rest exactly the processes of the living runs are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.readme import ROOT

SEEDS = [1, 2]
"""Seeds that once found something are added here, with what they found."""


@pytest.mark.matrix
@pytest.mark.parametrize("options", [[], ["--portable"]], ids=["linux", "portable"])
@pytest.mark.parametrize("seed", SEEDS)
def test_at_rest_there_is_nobody_who_should_not_be_and_everybody_who_should(seed, options):
    words = ["-m", "benchmarks.chaos", "--seed", str(seed), "--events", "60", *options]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
