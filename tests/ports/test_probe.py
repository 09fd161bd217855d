from __future__ import annotations

import socket

import pytest

from devrun.ports.ledger import claim, release
from devrun.system.port_range import ephemeral_range
from tests.support.ports import linked, project


def has_ipv6_loopback():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def nobody_listens():
    """Here the real probe is asked."""


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", pytest.param("::1", marks=ipv6)])
def test_a_listener_of_either_family_is_seen_at_the_first_claim_and_ignored_later(state, address):
    before = claim(state, linked("x"), project(web=3000))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, before.port("web")), family=family):
        assert claim(state, linked("x"), project(web=3000)) == before
        release(state, [state.leases.get(linked("x").identity)])
        assert claim(state, linked("x"), project(web=3000)).slot != before.slot


def test_the_ephemeral_range_is_a_range_of_ports():
    first, last = ephemeral_range()
    assert 1 <= first <= last <= 65535
