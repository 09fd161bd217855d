"""YAML with places: what is kept, what is refused, and that nothing hangs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.config.document import read_document
from devrun.config.files import Source
from devrun.config.value import unwrap
from devrun.errors import ConfigError


def read(text):
    return read_document(Source("f.yaml", text))


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value


def outcome(text):
    """Return where reading was refused; None when it was not."""
    try:
        read(text)
    except ConfigError as error:
        return error.where
    return None


def test_every_value_and_key_knows_its_place():
    root = read("a:\n  b: [x, yy]\n  c: 'é'\n")
    assert str(root.get("a", "b", 1).place) == "f.yaml:2:10"
    assert str(root.get("a").key_place("c")) == "f.yaml:3:3"
    assert str(root.get("a", "c").place) == "f.yaml:3:6"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("22:22", "22:22"), ("0755", "0755"), ("1_000", "1_000"),
        ("true", True), ("False", False), ("~", None), ("", None), ("3000", 3000), ("1.5", 1.5), ("1e5", "1e5"),
        (".inf", ".inf"), ("2001-01-01", "2001-01-01"), ("0x10", "0x10"), ("'3'", "3"), ("=", "="), ("+1", 1),
        ("9" * 30, "9" * 30), ("!!str 3", "3"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(written, value):
    assert unwrap(read(f"a: {written}\n")) == {"a": value}


def test_source_text_of_a_number_is_kept():
    assert read("v: 1.10\n").get("v").text == "1.10"


def test_keys_are_text_whatever_they_look_like():
    assert unwrap(read("on: 1\n8080: 2\ntrue: 3\n")) == {"on": 1, "8080": 2, "true": 3}


def test_merges_keep_the_nearest_value():
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 9\n"
    assert unwrap(read(text))["z"] == {"a": 9, "b": 2, "c": 4}


def test_merge_in_a_merge():
    text = "a: &a {k: 1}\nb: &b {<<: *a, l: 2}\nc: {<<: *b}\n"
    assert unwrap(read(text))["c"] == {"k": 1, "l": 2}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1", "duplicate key `a`"),
        ("a: {x: 1, x: 2}", "f.yaml:1:11", "duplicate key `x`"),
        ("a: *nope\n", "f.yaml:1:4", "refers to nothing"),
        ("a: &a [*a]\n", "f.yaml:1:8", "contains itself"),
        ("a: !include x\n", "f.yaml:1:4", "tag `!include`"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4", "is not understood"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2:1", "second document"),
        ("- a\n", "f.yaml:1:1", "must be a mapping"),
        ("text\n", "f.yaml:1:1", "must be a mapping"),
        ("? [a]\n: b\n", "f.yaml:1:3", "a key must be text"),
        ("a: {{x}}\n", "f.yaml:1:5", "a key must be text"),
        ("? \n: x\n", "f.yaml:1:2", "a key is missing"),
        ("<<: 3\n", "f.yaml:1:1", "merges mappings only"),
        ("a:\n\tb: 1\n", "f.yaml:2:1", "not YAML"),
        ("a: [\n", "f.yaml:2:1", "not YAML"),
        ("a: b: c\n", "f.yaml:1:5", "not YAML"),
        ("a: @x\n", "f.yaml:1:4", "not YAML"),
        ('a: "\\0"\n', "f.yaml:1:4", "NUL"),
        ("a: \x07\n", "f.yaml:1:4", "control character U+0007"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(text, where, message):
    error = refusal(text)
    assert error.where == where
    assert message in error.message


def test_tabs_are_named():
    assert "tabs" in refusal("a:\n\tb: 1\n").hint


def test_a_bomb_of_aliases_is_refused_instead_of_expanded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases are expanded" in refusal("\n".join(lines)).message


def test_a_bomb_of_merges_is_refused_instead_of_expanded():
    wide = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}\n"
    merges = "".join(f"m{n}: {{<<: *a}}\n" for n in range(5000))
    assert "aliases are expanded" in refusal(wide + merges).message


@pytest.mark.parametrize("text", ["[" * 500_000, "- " * 400_000, "? " * 400_000, "a: " + "{" * 400_000, "!" * 900_000])
def test_deep_nesting_ends_neither_the_process_nor_the_day(text):
    refusal(text)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_is_read_or_refused_with_a_place(text):
    assert outcome(text) is None or outcome(text).startswith("f.yaml:")


@given(st.text(alphabet="ab:-{}[],&*!|>'\"#%@ \n\t?<~", max_size=60))
def test_any_yaml_like_text_is_read_or_refused_with_a_place(text):
    assert outcome(text) is None or outcome(text).startswith("f.yaml:")
