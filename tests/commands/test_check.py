"""`devrun check`, `devrun schema` and `devrun init` as people call them."""

from __future__ import annotations

import json
import os

import jsonschema
import pytest

from devrun.cli import main
from devrun.config.load import load_project

SERVICES = "services: {a: {command: x, port: 3000}}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Stand in an empty checkout."""
    path = tmp_path / "checkout"
    (path / ".git").mkdir(parents=True)
    monkeypatch.chdir(path)
    return path


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_nothing_wrong_is_silent_on_stdout(here, capsys):
    (here / "services.yaml").write_text(SERVICES)
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "services.yaml: 1 service, nothing to say\n")


def test_errors_are_answers_with_their_places(here, capsys):
    (here / "services.yaml").write_text("services: {a: {comand: x}, b: {port: 1}}\n")
    assert main(["check", "--json"]) == 2
    report = answer(capsys)
    assert (report["devrun"], report["kind"]) == (1, "check")
    (problem,) = report["data"]["problems"]
    assert problem == {
        "where": "services.yaml:1:16",
        "message": "unknown key `comand` in `services.a`",
        "hint": "did you mean `command`?",
        "severity": "error",
    }


def test_warnings_leave_the_exit_code_alone(here, capsys):
    (here / "services.yaml").write_text("services: {a: {command: vite, port: 3000}}\n")
    assert main(["check"]) == 0
    assert "warning: services.yaml:1:12: `vite` of `a` does not read PORT\nhint: " in capsys.readouterr().out


@pytest.mark.parametrize("pids", ["terminals[.pid", "[", "a b", "`1", "(" * 5000])
def test_an_expression_of_a_registry_that_is_none_is_an_error(here, capsys, pids):
    live = json.dumps({"url": "http://127.0.0.1:1/", "pids": pids})
    registries = f"sweep:\n  registries:\n  - {{name: r, match: m, live: {live}}}\n"
    (here / "services.yaml").write_text(SERVICES + registries)
    assert main(["check", "--json"]) == 2
    (problem,) = answer(capsys)["data"]["problems"]
    assert problem["severity"] == "error"
    assert problem["where"] == f"services.yaml:4:{3 + registries.splitlines()[2].index(json.dumps(pids)) - 2}"
    assert problem["message"].startswith("`pids` of the registry `r` is no JMESPath: ")


def test_another_file_can_be_checked(here, capsys):
    (here / "Procfile.dev").write_text("web x\n")
    assert main(["check", "-f", "Procfile.dev"]) == 2
    assert "Procfile.dev:1:1" in capsys.readouterr().out


def test_a_folder_that_is_gone_is_told(here, capsys):
    here.joinpath(".git").rmdir()
    here.rmdir()
    assert main(["check"]) == 2
    assert "the current folder cannot be read" in capsys.readouterr().err


def test_the_schema_is_a_schema(capsys):
    assert main(["schema"]) == 0
    schema = answer(capsys)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert main(["schema", "--json"]) == 0
    assert answer(capsys)["data"] == schema


def test_init_of_a_workspace(here, capsys):
    (here / "pnpm-lock.yaml").touch()
    (here / "pnpm-workspace.yaml").write_text("packages:\n  - 'apps/*'\n  - '!apps/old'\n  - ../elsewhere\n")
    scripts = {"web": "vite", "api": "PORT=4000 tsx watch x.ts", "lib": "tsc --watch", "site": "next dev", "none": ""}
    for name, script in scripts.items():
        (here / "apps" / name).mkdir(parents=True)
        (here / "apps" / name / "package.json").write_text(
            json.dumps({"name": f"@x/{name}", "scripts": {"dev": script}})
        )
    assert main(["init", "--json"]) == 0
    assert answer(capsys)["data"]["services"] == ["api", "lib", "site", "web"]
    services = load_project(start=str(here), environ={}).services
    assert services["web"].command == "pnpm dev --port ${PORT} --strictPort"
    assert services["web"].working_dir == os.path.join(here, "apps", "web")
    assert {name: each.port for name, each in services.items()} == {"api": 4000, "lib": None, "site": 3001, "web": 3002}


@pytest.mark.parametrize(
    ("files", "services"),
    [
        ({}, {"web": 3000}),
        ({"manage.py": ""}, {"web": 8000}),
        ({"Procfile": "web: x\nworker: y\n"}, {"web": 5000, "worker": 5100}),
        ({"package.json": '{"name": "@x/my app", "scripts": {"start": "next start -p 3100"}}'}, {"my-app": 3100}),
        ({"package.json": '{"name": "devrun", "scripts": {"dev": "astro dev"}}'}, {"web": 3000}),
        ({"package.json": '{"scripts": {"dev": "turbo dev"}}'}, {"web": 3000}),
        ({"package.json": "not json"}, {"web": 3000}),
        ({"package.json": '{"workspaces": ["apps/*"], "scripts": 3}'}, {"web": 3000}),
    ],
)
def test_init_writes_a_file_that_loads(here, capsys, files, services):
    for name, text in files.items():
        (here / name).write_text(text)
    assert main(["init"]) == 0
    shown = capsys.readouterr()
    assert shown.out == (here / "services.yaml").read_text()
    assert f"wrote {here}/services.yaml: " in shown.err
    assert {name: each.port for name, each in load_project(start=str(here), environ={}).services.items()} == services


def test_init_leaves_out_packages_that_no_file_can_name_and_takes_each_once(here, capsys):
    (here / "package.json").write_text('{"workspaces": ["packages/**", "a\\u0000/*"]}')
    elsewhere = here.parent / "elsewhere"
    folders = [here / "packages" / "web", here / "packages" / "${x}", here / "packages" / os.fsdecode(b"caf\xe9")]
    for folder in (elsewhere, *folders):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"scripts": {"dev": "vite"}}')
    (here / "packages" / "linked").symlink_to(elsewhere)
    (here / "packages" / "web" / "loop").symlink_to("..")
    (here / "packages" / "all").symlink_to("..")
    (here / "packages" / "itself").symlink_to("itself")
    assert main(["init", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["data"]["services"] == ["web"]
    assert "1 package of the workspace with a dev script" in shown.err
    (web,) = load_project(start=str(here), environ={}).services.values()
    assert web.working_dir == str(folders[0])


@pytest.mark.parametrize("name", ["services.yaml", "services.yml"])
def test_init_never_overwrites(here, capsys, name):
    (here / name).write_text("mine")
    assert main(["init"]) == 2
    assert (here / name).read_text() == "mine"
    assert os.listdir(here) in ([".git", name], [name, ".git"])


def test_init_does_not_write_through_a_broken_link(here):
    (here / "services.yaml").symlink_to("elsewhere.yaml")
    assert main(["init"]) == 2
    assert not (here / "elsewhere.yaml").exists()
