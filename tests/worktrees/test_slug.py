from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.worktrees.slug import make_slug

names = st.text(min_size=1, max_size=90)


@given(names, st.booleans())
def test_a_slug_is_safe_for_databases_and_host_names(name, reserved):
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", make_slug(name, reserved=reserved))


@given(names, names)
def test_two_names_never_share_a_slug(one, other):
    assert (make_slug(one) == make_slug(other)) == (one == other)


@pytest.mark.parametrize("name", ["feature-x", "a", "9_lives", "x" * 40])
def test_a_name_that_is_fit_stays_as_it_is(name):
    assert make_slug(name) == name


@pytest.mark.parametrize("name", ["Feature-X", "a.b", "-x", "x" * 41, "日本", "..."])
def test_a_name_that_is_changed_is_marked(name):
    assert re.search(r"-[0-9a-f]{6}\Z", make_slug(name))
