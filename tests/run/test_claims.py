"""Who needs which services: what was borrowed ends with its last user."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devrun.run.talk.claims import Claims


def test_what_was_borrowed_is_idle_when_its_only_user_leaves():
    claims = Claims(is_borrowed=False)
    claim = claims.take(("api", "web"), ("web",))
    assert claims.give_back(claim) == ("web",)
    assert claims.give_back(claim) == ()


def test_a_service_stays_for_who_came_later():
    claims = Claims(is_borrowed=False)
    first = claims.take(("web",), ("web",))
    second = claims.take(("web",), ())
    assert claims.give_back(first) == ()
    assert claims.give_back(second) == ("web",)


def test_what_is_kept_is_nobodys_to_stop():
    claims = Claims(is_borrowed=True)
    claim = claims.take(("web", "api"), ("web", "api"))
    claims.keep(("web",))
    assert claims.give_back(claim) == ("api",)
    assert not claims.is_deserted


def test_a_borrowed_run_is_deserted_when_the_last_holder_leaves():
    claims = Claims(is_borrowed=True)
    assert claims.is_deserted
    first, second = claims.take((), ()), claims.take((), ())
    claims.give_back(first)
    assert not claims.is_deserted
    claims.give_back(second)
    assert claims.is_deserted


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd"))), max_size=6), st.randoms()
)
def test_whatever_the_order_every_borrowed_service_is_given_back_once(takes, random):
    claims = Claims(is_borrowed=False)
    held = [claims.take(needed | borrowed, borrowed) for needed, borrowed in takes]
    random.shuffle(held)
    idle = [name for claim in held for name in claims.give_back(claim)]
    assert sorted(idle) == sorted(set().union(*(borrowed for _, borrowed in takes)))
