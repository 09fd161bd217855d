"""The detach key: its names, its byte, and where it was typed."""

from __future__ import annotations

import pytest

from devrun.errors import UsageError
from devrun.run.talk.keys import parse_key, split_at_key


@pytest.mark.parametrize(
    ("text", "name", "byte"),
    [
        ("ctrl-]", "Ctrl-]", b"\x1d"),
        ("Ctrl-A", "Ctrl-A", b"\x01"),
        ("^t", "Ctrl-T", b"\x14"),
        ("c-\\", "Ctrl-\\", b"\x1c"),
    ],
)
def test_a_key_has_a_name_and_a_byte(text, name, byte):
    assert parse_key(text) == (name, byte)


@pytest.mark.parametrize("text", ["", "q", "ctrl-", "ctrl-c", "ctrl-d", "ctrl-m", "^[", "ctrl-é", "ctrl-ab"])
def test_a_key_that_a_service_needs_or_nobody_can_type_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_key(text)
    assert caught.value.hint == "`--detach-key ctrl-]`"


def test_what_was_typed_before_the_key_still_counts():
    key = parse_key("ctrl-]")
    assert split_at_key(b"yes\r\x1dno", key) == (b"yes\r", True)
    assert split_at_key(b"yes\r", key) == (b"yes\r", False)
