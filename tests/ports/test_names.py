from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devrun.model import PortSet
from devrun.ports.names import (
    own_port_environment,
    port_environment,
    printed_environment,
    variable_name,
    wishes,
    without_inherited,
)
from tests.support.ports import service

SERVICES = {
    each.name: each
    for each in (
        service("web", 3000, ports={"hmr": 3100}),
        service("code-sdk.docs", 3802, port_env="DOCS_SDK_PORT"),
        service("worker"),
    )
}
PORTS = PortSet(slot=2, offset=20, ports={"web": {"": 3020, "hmr": 3120}, "code-sdk.docs": {"": 3822}})


def test_everybody_gets_the_ports_and_urls_of_all():
    assert port_environment(SERVICES, PORTS) == {
        "DEVRUN_SLOT": "2",
        "DEVRUN_OFFSET": "20",
        "WEB_PORT": "3020",
        "WEB_URL": "http://localhost:3020",
        "WEB_HMR_PORT": "3120",
        "WEB_HMR_URL": "http://localhost:3120",
        "CODE_SDK_DOCS_PORT": "3822",
        "CODE_SDK_DOCS_URL": "http://localhost:3822",
    }


def test_a_service_gets_its_own_port_and_its_port_env():
    assert own_port_environment(SERVICES["code-sdk.docs"], PORTS) == {"PORT": "3822", "DOCS_SDK_PORT": "3822"}


def test_a_service_without_a_port_gets_no_port():
    assert own_port_environment(SERVICES["worker"], PORTS) == {}


def test_an_inherited_port_is_always_dropped():
    assert without_inherited({"PORT": "9", "HOME": "/h"}, SERVICES) == {"HOME": "/h"}


def test_variables_of_an_unmarked_environment_are_the_users_own():
    mine = {"WEB_PORT": "1", "WEB_URL": "x", "DOCS_SDK_PORT": "3900", "DATABASE_URL": "postgres://"}
    assert without_inherited(mine, SERVICES) == mine


def test_a_marked_environment_loses_what_devrun_wrote_and_keeps_the_rest():
    printed = printed_environment(SERVICES, PORTS, "/w", inherited={})
    foreign = {"DATABASE_URL": "postgres://", "SMTP_PORT": "25", "SENTRY_URL": "https://x"}
    assert without_inherited({**printed, **foreign}, SERVICES) == foreign


def test_services_of_another_project_are_known_by_their_pair():
    inherited = {"DEVRUN_RUN": "r", "OTHER_PORT": "4000", "OTHER_URL": "http://localhost:4000", "MY_PORT": "7"}
    assert without_inherited(inherited, SERVICES) == {"MY_PORT": "7"}


def test_the_stamp_of_the_caller_is_not_handed_on():
    stamp = {"DEVRUN_RUN": "r", "DEVRUN_SERVICE": "web", "DEVRUN_WORKTREE": "/w", "DEVRUN_STATE_DIR": "/s"}
    assert without_inherited(stamp, SERVICES) == {"DEVRUN_STATE_DIR": "/s"}


def test_the_printed_environment_names_its_worktree_and_has_no_port():
    printed = printed_environment(SERVICES, PORTS, "/w", inherited={})
    assert printed["DEVRUN_ENV"] == "/w"
    assert printed["DOCS_SDK_PORT"] == "3822"
    assert "PORT" not in printed


@given(st.text(min_size=1))
def test_variable_names_have_only_what_a_shell_allows(name):
    assert set(variable_name(name)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def test_what_the_user_chose_as_a_base_is_not_lost_where_devrun_wrote_the_port():
    mine = {"DOCS_SDK_PORT": "3900", "HOME": "/h"}
    once = printed_environment(SERVICES, PORTS, "/w", inherited=mine)
    assert once["DOCS_SDK_PORT"] == "3822"
    assert wishes({**mine, **once})["DOCS_SDK_PORT"] == "3900"
    assert printed_environment(SERVICES, PORTS, "/w", inherited={**mine, **once}) == once
    assert without_inherited({**mine, **once}, SERVICES) == mine
    other = printed_environment({"web": service("web", 3000)}, PORTS, "/other", inherited={**mine, **once})
    assert wishes({**mine, **once, **other})["DOCS_SDK_PORT"] == "3900"


NAMES = ["WEB_PORT", "PORT", "A", "WEB_URL", "DEVRUN_ENV", "DOCS_SDK_PORT", "DEVRUN_BASES"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_dropping_what_was_inherited_twice_changes_nothing(environ):
    once = without_inherited(environ, SERVICES)
    assert without_inherited(once, SERVICES) == once
