"""What a registry's answer says: pids, nobody, or nothing at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.decide.listed import MalformedError, listed_pids

ROWS = "terminals[].pid"


def listed(document, expression=ROWS):
    return listed_pids(json.dumps(document).encode(), expression)


@pytest.mark.parametrize(
    ("document", "expression", "pids"),
    [
        ({"terminals": [{"pid": 4}, {"pid": 5}]}, ROWS, {4, 5}),
        ({"terminals": [{"pid": "4"}]}, ROWS, {4}),
        ({"terminals": [{"pid": 4}, {"pid": None}]}, ROWS, {4}),
        ([1, 2], "[]", {1, 2}),
        ([1, 2], "@", {1, 2}),
        ({"a": {"pid": 7}, "b": {"pid": 8}}, "*.pid", {7, 8}),
        ({"rows": [{"live": True, "pid": 3}, {"live": False, "pid": 4}]}, "rows[?live].pid", {3}),
    ],
)
def test_pids_are_read_by_the_expression(document, expression, pids):
    assert listed(document, expression) == pids


@pytest.mark.parametrize(
    ("document", "expression"),
    [
        ({"terminals": []}, ROWS),
        ([], "[].pid"),
        ([], "@"),
        ({}, "*.pid"),
        ([{"terminals": []}, {"terminals": []}], "[].terminals[].pid"),
        ({"data": {"pids": []}}, "data.pids"),
    ],
)
def test_an_empty_well_formed_answer_is_an_answer(document, expression):
    assert listed(document, expression) == frozenset()


@pytest.mark.parametrize(
    ("document", "expression"),
    [
        ({"error": "not logged in"}, ROWS),
        ({"terminals": None}, ROWS),
        ({"terminals": {"pid": 4}}, ROWS),
        ({"terminals": [{"processId": 4}]}, ROWS),
        ({"terminals": [{"pid": None}]}, ROWS),
        ([{"other": []}], "[].terminals[].pid"),
        ({"rows": [{"live": False, "pid": 4}]}, "rows[?live].pid"),
        ({"terminals": [{"pid": "four"}]}, ROWS),
        ({"terminals": [{"pid": 0}]}, ROWS),
        ({"terminals": [{"pid": -4}]}, ROWS),
        ({"terminals": [{"pid": True}]}, ROWS),
        ({"terminals": [{"pid": 4.5}]}, ROWS),
        ({"terminals": [{"pid": [4]}]}, ROWS),
        ({"pid": 4}, "pid"),
        ("text", "@"),
        (None, "@"),
        ([1], "map(&pid, @)"),
        ([1], "terminals[[.pid"),
        ([1], "no_such_function(@)"),
        ({"terminals": [{"pid": "9" * 5000}]}, ROWS),
        ([1, 2], "[::0]"),
        ([1, 2], "[?@ > 'x']"),
        ([float("nan")], "[].ceil(@)"),
        ([float("inf")], "[].floor(@)"),
        ([1], "(" * 5000),
    ],
)
def test_another_shape_says_nothing(document, expression):
    with pytest.raises(MalformedError) as caught:
        listed(document, expression)
    assert str(caught.value)


@pytest.mark.parametrize("odd", ["\ud800", "x" * 100_000, "\ud800" * 100_000])
@pytest.mark.parametrize("expression", ["@", "sort(@)", "[].abs(@)"])
def test_what_an_answer_holds_is_told_in_a_line_that_can_be_printed(odd, expression):
    with pytest.raises(MalformedError) as caught:
        listed([1, odd], expression)
    assert str(caught.value).encode()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", [b"", b"<html>", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN x"])
def test_what_is_not_json_says_nothing(text):
    with pytest.raises(MalformedError):
        listed_pids(text, ROWS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["terminals", "pid", "x"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_nobody_is_listed_only_where_nothing_could_be(document):
    try:
        found = listed(document)
    except MalformedError:
        return
    if not found:
        rows = document["terminals"]
        assert all(row == [] for row in rows)
