"""The portable table between two looks: processes end while they are being read."""

from __future__ import annotations

import psutil
import pytest

from devrun.system import portable_table
from devrun.system.columns import Column


@pytest.mark.parametrize("fact", ["exe", "cmdline", "environ"])
def test_a_process_that_ends_while_its_facts_are_read_is_gone(processes, monkeypatch, fact):
    child = processes.python("ready(); rest()")
    record = next(row for row in portable_table.read_rows() if row.pid == child.pid)

    def ended(self):
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, fact, ended)
    monkeypatch.setattr(portable_table, "_argv", lambda process: process.cmdline())
    assert portable_table.read_facts(record, Column.ALL) is None
