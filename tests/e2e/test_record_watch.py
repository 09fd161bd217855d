"""A run that nobody could find any more ends by itself."""

from __future__ import annotations

import json
import os
import shutil

from devrun.state import open_state
from tests.support.devrun import devrun
from tests.support.processes import DEADLINE


def test_a_run_ends_when_its_state_folder_is_removed(tmp_path, handshake):
    service = {"command": handshake.text("listener", "--port", "0"), "stop": {"timeout": 2}}
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": service}}))
    assert devrun("up", "-d", cwd=str(tmp_path)).returncode == 0
    handshake.wait_shapes("listener")
    with open_state(create=False) as state:
        path = state.path
    shutil.rmtree(path)
    assert handshake.wait_gone(DEADLINE)


def test_a_run_ends_when_a_file_takes_the_place_of_its_state_folder(tmp_path, handshake, up):
    service = {"command": handshake.text("listener", "--port", "0"), "stop": {"timeout": 2}}
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": service}}))
    run = up(cwd=tmp_path)
    handshake.wait_shapes("listener")
    path = os.environ["DEVRUN_STATE_DIR"]
    os.rename(path, f"{path}-away")
    with open(path, "w", encoding="ascii"):
        pass
    assert run.wait() == 1
    assert "is gone" in run.output
    assert handshake.wait_gone()


def test_a_run_says_why_it_ends_when_its_record_is_removed(tmp_path, handshake, up):
    service = {"command": handshake.text("listener", "--port", "0"), "stop": {"timeout": 2}}
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": service}}))
    run = up(cwd=tmp_path)
    handshake.wait_shapes("listener")
    with open_state(create=False) as state:
        folder = state.runs.folder(state.runs.all()[0].id)
    os.rename(folder, f"{folder}-away")
    assert run.wait() == 1
    assert f"the record of this run, `{folder}`, is gone" in run.output
    assert handshake.wait_gone()
