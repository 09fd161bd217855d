"""Which services a command is about, and in which order they start."""

from __future__ import annotations

import pytest

from devrun.config.select import select_services
from devrun.errors import UsageError

SERVICES = """
services:
  web: {command: x, depends_on: [api]}
  worker: {command: x, depends_on: {db: started, migrate: completed}}
  api: {command: x, depends_on: [db, migrate]}
  migrate: {command: x, depends_on: [db], profiles: [setup]}
  db: {command: x}
  docs: {command: x, profiles: [docs, all]}
"""


def names(folder, *args, **options):
    return [each.name for each in select_services(folder.load(SERVICES), *args, **options)]


def test_dependencies_come_first_and_are_pulled_in_whatever_their_profile(folder):
    assert names(folder) == ["db", "migrate", "api", "web", "worker"]


def test_named_services_bring_what_they_need(folder):
    assert names(folder, ["api"]) == ["db", "migrate", "api"]
    assert names(folder, ["docs"]) == ["docs"]
    assert names(folder, ["db", "db"]) == ["db"]


def test_profiles_add_their_services(folder):
    assert names(folder, profiles=["docs"]) == ["db", "migrate", "api", "web", "worker", "docs"]
    assert names(folder, ["db"], ["docs"]) == ["db", "docs"]


def test_unknown_names_are_usage_errors_with_a_suggestion(folder):
    with pytest.raises(UsageError) as caught:
        names(folder, ["wrker"])
    assert caught.value.hint == "did you mean `worker`?"
    with pytest.raises(UsageError) as caught:
        names(folder, profiles=["dosc"])
    assert caught.value.hint == "did you mean `docs`?"


def test_a_hint_names_the_first_of_many_services_and_counts_the_rest(folder):
    project = folder.load("services:\n" + "".join(f"  s{n}: {{command: x}}\n" for n in range(300)))
    with pytest.raises(UsageError) as caught:
        select_services(project, ["worker"])
    assert caught.value.hint.startswith("known are `s0`, `s1`, ")
    assert caught.value.hint.endswith("`s11` and 288 more")


def test_a_formation_s_base_name_means_all_instances(folder):
    folder.write("Procfile", "web: x\nworker: y\n")
    project = folder.load(formation="web=2")
    assert [each.name for each in select_services(project, ["web"])] == ["web.1", "web.2"]
    assert [each.name for each in select_services(project, ["web.2"])] == ["web.2"]


def test_long_chains_do_not_exhaust_the_stack(folder):
    lines = "\n".join(f"  s{n}: {{command: x, depends_on: [s{n + 1}]}}" for n in range(3000))
    project = folder.load(f"services:\n{lines}\n  s3000: {{command: x}}\n")
    assert [each.name for each in select_services(project)][:2] == ["s3000", "s2999"]
