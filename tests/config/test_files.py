"""What is no configuration file is refused by its path, at once."""

from __future__ import annotations

import os
import socket

import pytest

from devrun.config.load import find_config, load_project
from devrun.errors import ConfigError, UsageError
from tests.support.repositories import Repository

SERVICES = "services: {a: {command: x}}\n"
NAMES = ("services.yaml", "services.local.yaml", "Procfile", ".env")


def place(folder, name):
    """Make everything but `name` right; return where `name` belongs."""
    if name != "services.yaml":
        folder.write("services.yaml", ("procfile: Procfile\n" if name == "Procfile" else "") + SERVICES)
    return os.path.join(folder.path, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "FIFO", "device", "loop", "broken link", "large", "latin-1", "NUL"])
def test_what_is_no_file_of_text_is_refused_by_its_path(folder, name, kind):
    path = place(folder, name)
    make = {
        "folder": os.mkdir,
        "FIFO": os.mkfifo,
        "device": lambda path: os.symlink("/dev/zero", path),
        "loop": lambda path: os.symlink(name, path),
        "broken link": lambda path: os.symlink("nowhere", path),
        "large": lambda path: folder.write(name, b"#" * 1_000_001),
        "latin-1": lambda path: folder.write(name, b"# caf\xe9\n"),
        "NUL": lambda path: folder.write(name, b"# \0\n"),
    }
    make[kind](path)
    error = folder.refuse()
    assert name in error.message
    assert error.exit_code == 2


def test_a_socket_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("services.yaml")
        assert "`services.yaml` cannot be read" in folder.refuse().message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(folder):
    os.chmod(folder.write("services.yaml", SERVICES), 0)
    assert "permission denied" in folder.refuse().message


def test_the_place_of_a_byte_that_is_not_utf_8_is_told(folder):
    folder.write("services.yaml", b"# one\n# caf\xe9\n")
    assert folder.refuse().where == "services.yaml:2:6"


def test_services_yaml_counts_before_a_nearer_procfile(folder):
    folder.write("services.yaml", SERVICES)
    folder.write("apps/web/Procfile", "web: x\n")
    assert find_config(os.path.join(folder.path, "apps/web")).path == os.path.join(folder.path, "services.yaml")


def test_the_search_ends_at_the_top_of_the_worktree(folder, tmp_path):
    (tmp_path / "services.yaml").write_text(SERVICES)
    with pytest.raises(ConfigError, match=r"no services.yaml and no Procfile in"):
        find_config(folder.path)


def test_the_search_leads_out_of_a_submodule_and_ends_at_the_top_of_its_superproject(repository, tmp_path):
    library = Repository(tmp_path / "library")
    allow = ("-c", "protocol.file.allow=always")
    repository.git(*allow, "submodule", "add", "-q", library.path, "libs/lib")
    repository.commit({"services.yaml": "services: {web: {command: x, port: 3000}}\n"})
    feature = repository.worktree("feature")
    repository.git(*allow, "submodule", "update", "-q", "--init", at=feature)
    for top in (repository.path, feature):
        assert find_config(os.path.join(top, "libs", "lib")).path == os.path.join(top, "services.yaml")
    with pytest.raises(ConfigError, match=r"no services.yaml"):
        find_config(library.path)


def test_an_example_is_named_when_nothing_else_is_there(folder):
    folder.write("Procfile.example", "web: x\n")
    assert folder.refuse().hint == "`devrun up -f Procfile.example`, or `devrun init`"
    assert list(folder.load(file="Procfile.example").services) == ["web"]


def test_two_files_of_one_kind_are_refused(folder):
    folder.write("services.yaml", SERVICES)
    folder.write("services.yml", SERVICES)
    assert "has both" in folder.refuse().message


def test_a_file_that_was_asked_for_must_exist(folder):
    folder.write("services.yaml", SERVICES)
    with pytest.raises(UsageError, match=r"`nope.yaml` does not exist") as caught:
        folder.load(file="nope.yaml")
    assert caught.value.hint == "here is `services.yaml`"


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist \(any more\)"):
        load_project(start=str(tmp_path / "gone"))


def test_places_are_shown_from_where_one_stands(folder):
    folder.write("services.yaml", "services: 3\n")
    folder.write("apps/x", "")
    with pytest.raises(ConfigError) as caught:
        load_project(start=os.path.join(folder.path, "apps"))
    assert caught.value.where == f"{folder.path}/services.yaml:1:11"


def test_a_name_that_is_not_utf_8_is_shown_legibly(folder):
    name = os.fsdecode(b"caf\xe9.yaml")
    folder.write(name, "services: 3\n")
    assert folder.refuse(file=name).where == "caf\\xe9.yaml:1:11"
    with pytest.raises(UsageError, match=r"`n\\xe9` does not exist"):
        folder.load(file=os.fsdecode(b"n\xe9"))
