"""docs/configuration.md: every key is in it, and every example loads."""

from __future__ import annotations

import os
import re

import msgspec
import pytest

from devrun.config.shape import PortsEntry, ServiceEntry, ServicesFile, SweepEntry
from tests.support.readme import ROOT

with open(os.path.join(ROOT, "docs/configuration.md"), encoding="utf-8") as page:
    TEXT = page.read()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("entry", [ServicesFile, ServiceEntry, PortsEntry, SweepEntry])
def test_every_key_is_described(entry):
    assert [each.name for each in msgspec.structs.fields(entry) if f"`{each.name}`" not in TEXT] == []


@pytest.mark.parametrize("example", [each for each in EXAMPLES if "slot:" not in each])
def test_every_example_loads(folder, example):
    assert folder.load(example).services


def test_the_example_of_an_overlay_lies_over_the_first_one(folder):
    (overlay,) = (each for each in EXAMPLES if "slot:" in each)
    folder.write("services.local.yaml", overlay)
    project = folder.load(EXAMPLES[0])
    assert project.ports.slot == 3
    assert project.services["api"].environment == {"DEBUG": "1"}
