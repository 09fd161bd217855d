"""What a supervisor records of its run, also where somebody else holds the lock of the state for a while."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from devrun.state import open_state
from tests.support.processes import wait_until


def test_who_leads_a_session_is_recorded_once_the_lock_is_free(session):
    session.services(web="listener", api="listener")
    session.json("up", "-d", "--wait", "web")
    with contextlib.closing(sqlite3.connect(os.path.join(os.environ["DEVRUN_STATE_DIR"], "state.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        session.json("up", "-d", "--wait", "api")
    with open_state(create=False) as state:
        (run,) = state.runs.alive()
        wait_until(lambda: {"web", "api"} <= state.runs.get(run.id).groups.keys(), "both are recorded")
