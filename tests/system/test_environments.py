"""Of an environment devrun's own keys are kept, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devrun.model import ProcessEnvironment, Stamp
from devrun.system.environments import parse_environment

WHOLE = b"DEVRUN_RUN=r1\0DEVRUN_SERVICE=web\0DEVRUN_WORKTREE=/w\0DEVRUN_STATE_DIR=/s\0"


def test_a_whole_stamp_and_the_two_paths_are_kept():
    kept = parse_environment(b"PWD=/w/app\0" + WHOLE + b"INIT_CWD=/w\0")
    assert kept == ProcessEnvironment(Stamp("r1", "web", "/w", "/s"), pwd="/w/app", init_cwd="/w")


def test_secrets_are_not_kept():
    assert "hunter2" not in repr(parse_environment(b"TOKEN=hunter2\0" + WHOLE + b"DEVRUN_OTHER=hunter2\0"))


def test_a_stamp_that_is_not_whole_is_no_stamp():
    for missing in WHOLE.rstrip(b"\0").split(b"\0"):
        assert parse_environment(WHOLE.replace(missing + b"\0", b"")).stamp is None


def test_a_variable_that_only_ends_like_ours_is_not_ours():
    assert parse_environment(b"X_PWD=/secret\0OLDPWD=/secret\0").pwd is None
    assert parse_environment(b"A=DEVRUN_RUN=r1\0").stamp is None


def test_the_first_of_equal_keys_wins():
    assert parse_environment(b"PWD=/first\0PWD=/second\0").pwd == "/first"


def test_an_empty_block_proves_nothing():
    assert parse_environment(b"") is None
    assert parse_environment(b"\0\0") is None


@given(st.binary(max_size=80))
def test_no_block_breaks_the_reading(raw):
    parse_environment(raw)
    parse_environment(WHOLE + raw)
