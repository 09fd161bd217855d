"""When a service counts as ready, and for whom the others wait, on real processes."""

from __future__ import annotations

import json

import pytest

from tests.support.arena import free_base


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"ports": {"admin": 0}, "ready": {"port": "admin"}}, id="its only port has a name"),
        pytest.param({"port": 10, "ports": {"admin": 0}, "ready": {"port": "admin"}}, id="a port of its two"),
        pytest.param({"port": 0, "environment": {"PORT": "none"}}, id="PORT is something else"),
        pytest.param({"port": 0, "environment": {"PORT": "9"}, "ready": {"http": "/"}}, id="PORT is another, by http"),
    ],
)
def test_the_port_that_the_configuration_names_is_awaited(tmp_path, handshake, up, settings):
    base = free_base()
    ports = {"port": settings.get("port"), **settings.get("ports", {})}
    moved = {key: base + number for key, number in ports.items() if number is not None}
    entry = {**settings, "command": handshake.text("listener", "--port", str(base))}
    if "port" in moved:
        entry["port"] = moved["port"]
    if "admin" in moved:
        entry["ports"] = {"admin": moved["admin"]}
    waiting = {"command": "echo begins; read _", "depends_on": ["web"]}
    (tmp_path / "services.yaml").write_text(json.dumps({"services": {"web": entry, "last": waiting}}))
    run = up(cwd=tmp_path)
    handshake.wait_shapes("listener")
    run.read_until("last | begins")
    assert run.stop() == 130
    assert handshake.wait_gone()
