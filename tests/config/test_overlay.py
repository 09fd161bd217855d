"""services.local.yaml over services.yaml."""

from __future__ import annotations

BASE = """
services:
  api: {command: x, port: 3001, environment: {A: "1", B: "2"}, match: foo, stdin: null}
  web: {command: y, profiles: [a, b]}
"""


def test_it_is_merged_key_by_key(folder):
    folder.write(
        "services.local.yaml",
        """
        ports: {slot: 3}
        services:
          api: {port: 4001, environment: [B=3, C=4], match: }
          web: {profiles: [c]}
          extra: {command: z}
        """,
    )
    project = folder.load(BASE)
    api = project.services["api"]
    assert (api.command, api.port, api.match) == ("x", 4001, None)
    assert api.environment == {"A": "1", "B": "3", "C": "4"}
    assert project.services["web"].profiles == ("c",)
    assert list(project.services) == ["api", "web", "extra"]
    assert project.ports.slot == 3


def test_a_key_without_a_value_takes_the_key_away(folder):
    folder.write("services.local.yaml", "services: {web: , api: {environment: {A: }, stdin: null}}\n")
    project = folder.load(BASE)
    assert list(project.services) == ["api"]
    assert project.services["api"].environment == {"B": "2"}
    folder.write("services.local.yaml", "services: {api: }\n")
    error = folder.refuse(BASE.replace("command: y", "command: y, depends_on: [api]"))
    assert "`web` depends on `api`, which is not defined" in error.message


def test_an_error_names_the_file_it_is_in(folder):
    folder.write("services.local.yaml", "services:\n  api: {prot: 3}\n")
    error = folder.refuse(BASE)
    assert error.where == "services.local.yaml:2:9"


def test_a_clash_with_the_overlay_is_told_where_the_overlay_makes_it(folder):
    folder.write("services.local.yaml", "services:\n  web: {port: 3001}\n")
    assert folder.refuse(BASE).where == "services.local.yaml:2:15"


def test_another_file_has_an_overlay_of_its_own_name(folder):
    folder.write("dev.yaml", BASE)
    folder.write("dev.local.yaml", "services: {api: {port: 5}}")
    folder.write("services.local.yaml", "services: {api: {port: 6}}")
    assert folder.load(file="dev.yaml").services["api"].port == 5


def test_a_procfile_can_have_one(folder):
    folder.write("Procfile", "web: x\n")
    folder.write("services.local.yaml", "ports: {slot: 2}\nservices: {web: {port: 4000}}\n")
    project = folder.load()
    assert (project.ports.slot, project.services["web"].port) == (2, 4000)
    assert project.services["web"].port_promised


def test_an_empty_overlay_changes_nothing(folder):
    folder.write("services.local.yaml", "# nothing yet\n")
    assert list(folder.load(BASE).services) == ["api", "web"]
