"""Which variables a service is started with."""

from __future__ import annotations

from devrun.config.project import Project, Service
from devrun.model import STAMP_VARIABLES, PortSet, Worktree
from devrun.run.environment import common_environment, prepare_services

WEB = Service("web", "x", "/w", port=3000)
WORKER = Service("worker", "x", "/w")
PORTS = PortSet(2, 20, {"web": {"": 3020}})
HERE = Worktree(root="/w", identity="/w/.git", repository="/r", is_main=False, slug="w")


def prepare(inherited, **variables):
    """Return the environments of `web` and `worker`, with `variables` in the `.env`."""
    project = Project("/w", "/w/services.yaml", {"web": WEB, "worker": WORKER}, env_files=variables)
    common = common_environment(inherited, project, PORTS)
    _, environments = prepare_services([WEB, WORKER], common, HERE, PORTS)
    return environments["web"], environments["worker"]


def test_a_service_without_a_port_has_no_port_whoever_sets_one():
    web, worker = prepare({"PORT": "1"}, PORT="2")
    assert web["PORT"] == "3020"
    assert "PORT" not in worker


def test_everybody_sees_the_ports_of_all_over_what_a_file_says():
    for each in prepare({"WEB_PORT": "1"}, WEB_PORT="2", A="from the file"):
        assert (each["WEB_PORT"], each["WEB_URL"], each["A"]) == ("3020", "http://localhost:3020", "from the file")


def test_the_state_folder_of_the_caller_is_handed_on_and_no_file_names_another():
    inherited = {**dict.fromkeys(STAMP_VARIABLES, "inherited"), "DEVRUN_STATE_DIR": "/chosen"}
    for each in prepare(inherited, DEVRUN_STATE_DIR="/forged"):
        assert {name: each.get(name) for name in STAMP_VARIABLES if name in each} == {"DEVRUN_STATE_DIR": "/chosen"}


def test_a_file_cannot_forge_a_stamp():
    for each in prepare({}, **dict.fromkeys(STAMP_VARIABLES, "forged")):
        assert each.keys().isdisjoint(STAMP_VARIABLES)
