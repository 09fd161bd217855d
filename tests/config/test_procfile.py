"""Procfiles: alone, with a formation, and inside services.yaml."""

from __future__ import annotations

import pytest

from devrun.config.project import Condition, Dependency, ReadyKind
from devrun.errors import UsageError

PROCFILE = "# comment\nweb: node server.js -p $PORT\n\nworker: python worker.py\n"


def ports(project):
    return {name: each.port for name, each in project.services.items()}


def test_a_procfile_alone_is_enough(folder):
    folder.write("Procfile", PROCFILE)
    project = folder.load()
    web = project.services["web"]
    assert ports(project) == {"web": 5000, "worker": 5100}
    assert (web.command, web.port_promised, web.ready.kind) == ("node server.js -p $PORT", False, ReadyKind.STARTED)
    assert str(project.services["worker"].place) == "Procfile:4:1"


def test_a_formation_numbers_names_and_ports_as_honcho_does(folder):
    folder.write("Procfile", PROCFILE)
    assert ports(folder.load(formation="web=2")) == {"web.1": 5000, "web.2": 5001, "worker": 5100}
    assert ports(folder.load(formation="web=0,worker=2")) == {"worker.1": 5100, "worker.2": 5101}
    assert ports(folder.load(formation="all=2 worker=1")) == {"web.1": 5000, "web.2": 5001, "worker": 5100}


@pytest.mark.parametrize("text", ["web", "web=", "web=x", "=2", "web=-1", "web=2,web=3", "web=99999", "web=²"])
def test_a_wrong_formation_is_a_usage_error(folder, text):
    folder.write("Procfile", PROCFILE)
    with pytest.raises(UsageError, match="formation"):
        folder.load(formation=text)


def test_a_formation_of_an_unknown_line_is_refused(folder):
    folder.write("Procfile", PROCFILE)
    assert "counts `wep`" in folder.refuse(formation="wep=2").message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("just text", "`name: command`"),
        (" web: x", "remove the blanks"),
        ("web:", "a command is missing"),
        ("web:   ", "a command is missing"),
        ("we b: x", "letters, digits"),
        ("web.1: x", "letters, digits"),
        ("- web: x", "letters, digits"),
    ],
)
def test_a_line_that_honcho_drops_silently_is_an_error(folder, line, hint):
    folder.write("Procfile", f"ok: x\n\n{line}\n", raw=True)
    error = folder.refuse()
    assert error.where == "Procfile:3:1"
    assert hint in error.hint


@pytest.mark.parametrize("text", ["", "# only comments\n\n"])
def test_an_empty_procfile_is_refused(folder, text):
    folder.write("Procfile", text)
    assert folder.refuse().where == "Procfile:1:1"


def test_a_name_twice_is_refused(folder):
    folder.write("Procfile", "web: x\nweb: y\n")
    assert folder.refuse().where == "Procfile:2:1"


def test_lines_may_end_as_on_windows(folder):
    folder.write("Procfile", b"web: x\r\nworker: y\r\n")
    assert folder.load().services["web"].command == "x"


def test_a_name_that_is_no_name_of_a_service_is_refused(folder):
    folder.write("Procfile", "_web: x\n")
    assert folder.refuse().where == "Procfile:1:1"


def test_services_yaml_adds_to_the_lines(folder):
    folder.write("Procfile", PROCFILE)
    project = folder.load(
        """
        procfile: Procfile
        services:
          web: {port: 3000, match: server.js}
          extra: {command: z, depends_on: {worker: started}}
        """
    )
    web = project.services["web"]
    assert (web.command, web.port_promised, web.ready.kind) == ("node server.js -p $PORT", True, ReadyKind.PORT)
    assert ports(project) == {"web": 3000, "worker": 5100, "extra": None}


def test_an_assigned_port_gives_way_to_a_written_one(folder):
    folder.write("Procfile", PROCFILE)
    project = folder.load("procfile: Procfile\nservices: {extra: {command: z, port: 5000}}\n")
    assert ports(project) == {"web": 5100, "worker": 5200, "extra": 5000}


def test_a_formation_in_services_yaml_counts_entries_for_each_instance(folder):
    folder.write("Procfile", PROCFILE)
    project = folder.load(
        """
        procfile: Procfile
        formation: {web: 2}
        services:
          web: {port: 3000, ports: {debug: 9229}, restart: always}
          web.2: {restart: on-failure}
          worker: {depends_on: {web: started}}
        """
    )
    first, second, worker = project.services.values()
    assert (first.port, second.port) == (3000, 3001)
    assert (first.ports, second.ports) == ({"debug": 9229}, {"debug": 9230})
    assert (first.restart.policy.value, second.restart.policy.value) == ("always", "on-failure")
    assert worker.depends_on == (Dependency("web.1", Condition.STARTED), Dependency("web.2", Condition.STARTED))


def test_procfile_inside_another_folder(folder):
    folder.write("ops/Procfile.dev", PROCFILE)
    assert list(folder.load(file="ops/Procfile.dev").services) == ["web", "worker"]


def test_an_entry_that_misspells_a_line_is_told_which(folder):
    folder.write("Procfile", "web: x\nworker: y\n")
    error = folder.refuse("procfile: Procfile\nservices: {wbe: {port: 3000}}\n")
    assert (error.message, error.hint) == ("`wbe` has no `command`", "did you mean `web`?")
    error = folder.refuse("procfile: Procfile\nformation: web=2\nservices: {web.3: {port: 3000}}\n")
    assert error.hint == "did you mean `web.2`?"
