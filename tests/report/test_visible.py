"""Names and command lines of others in lines of ours: shown, never obeyed."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.config.problems import Problems
from devrun.config.project import Place
from devrun.errors import ConfigError, UsageError
from devrun.report.console import Output
from devrun.report.visible import visible

EVIL = "w\x1b[2J\x1b]0;t\x07\nerror: forged\r\t\x7f\x9b1m\u202e"
SEEN = r"w\x1b[2J\x1b]0;t\a\nerror: forged\r\t\x7f\x9b1m\u202e"


@given(st.text().filter(lambda text: "\0" not in text))
def test_no_control_character_gets_through(text):
    shown = visible(text)
    assert not any(unicodedata.category(each) in {"Cc", "Zl", "Zp"} for each in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["", "web | ok", "grüße €", "👩\u200d💻", r"a\x1b"])
def test_what_does_no_harm_stays_as_it_is(text):
    assert visible(text) == text


def test_answers_and_narration_show_them_as_escapes_and_keep_their_own_colour(capsys):
    output = Output(color="always")
    output.answer("ps", None, [output.style(EVIL, "red"), EVIL])
    output.say(output.emphasize(EVIL))
    output.fail(UsageError(f"no `{EVIL}`", hint=EVIL))
    shown = capsys.readouterr()
    assert shown.out == f"\x1b[31m{SEEN}\x1b[0m\n{SEEN}\n"
    assert shown.err == f"\x1b[1m{SEEN}\x1b[0m\n\x1b[31;1merror:\x1b[0m no `{SEEN}`\nhint: {SEEN}\n"


def test_what_programs_read_is_left_as_it_is(capsys):
    Output().answer("env", None, ["A='1\n2'", EVIL], verbatim=True)
    assert capsys.readouterr().out == f"A='1\n2'\n{EVIL}\n"


def test_several_mistakes_are_still_a_line_each(capsys):
    problems = Problems()
    problems.add("no `\n`", Place("a\nb.yaml", 1), hint="x")
    problems.add("no", Place("a\nb.yaml", 2))
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    Output().fail(caught.value)
    assert re.sub(r"\\n", "~", capsys.readouterr().err) == "error: a~b.yaml:1:1: no `~`\n  a~b.yaml:2:1: no\nhint: x\n"
