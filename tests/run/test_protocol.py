"""What clients and runs say to each other is understood, or refused with words."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.config.project import Dependency, Ready, ReadyKind, Service
from devrun.run.talk import protocol
from devrun.run.talk.protocol import Answer, Ask, ServiceStatus, VersionError, decode_answer, decode_ask, encode


def test_a_request_is_one_line_and_reads_back():
    service = Service(
        name="web",
        command=("a", "b\n"),
        working_dir="/w",
        depends_on=(Dependency("api"),),
        ready=Ready(ReadyKind.HTTP, "/healthz"),
    )
    ask = Ask(protocol.ADD, services=(service,), environments={"web": {"A": "1\n2"}}, waits=False)
    line = encode(ask)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_ask(line) == ask


def test_an_answer_reads_back():
    answer = Answer(
        version="1.2", services=(ServiceStatus("web", "ready", ready=True, since=1.5),), outcomes={"web": "ready"}
    )
    assert decode_answer(encode(answer)) == answer


def test_a_field_that_is_not_known_is_ignored():
    line = json.dumps({"verb": "status", "devrun": 1, "from the future": [1]}).encode()
    assert decode_ask(line) == Ask(protocol.STATUS)


@pytest.mark.parametrize("decode", [decode_ask, decode_answer])
def test_another_version_is_named_with_a_hint(decode):
    with pytest.raises(VersionError) as caught:
        decode(b'{"devrun": 2, "whatever": true}')
    assert "version 2" in caught.value.message
    assert "this devrun 1" in caught.value.message
    assert "`devrun down`" in caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"devrun": "1"}',
        b'{"devrun": 1, "verb": 3}',
        b"{" * 9999,
    ],
)
def test_garbage_is_refused_with_words(line):
    with pytest.raises(VersionError, match="not a"):
        decode_ask(line)


@given(st.binary())
def test_no_line_raises_anything_else(line):
    with contextlib.suppress(VersionError):
        decode_ask(line)
