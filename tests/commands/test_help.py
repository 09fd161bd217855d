"""`devrun help` tells people the verbs, and agents their effects."""

from __future__ import annotations

import json

import pytest

from devrun.cli import main
from devrun.verbs import VERBS


def test_help_lists_every_command(capsys):
    assert main(["help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb.name in shown for verb in VERBS)


def test_json_gives_agents_the_effect_of_every_command(capsys):
    assert main(["help", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "help"
    effects = {verb["name"]: verb["effect"] for verb in answer["data"]["verbs"]}
    assert effects == {verb.name: verb.effect for verb in VERBS}
    assert set(effects.values()) <= {"read", "write", "destructive"}


def test_help_of_one_command_is_its_long_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["help", "completion"])
    assert ended.value.code == 0
    assert "source <(devrun completion bash)" in capsys.readouterr().out


def test_json_help_of_one_command_has_its_arguments(capsys):
    assert main(["help", "completion", "--json"]) == 0
    (verb,) = json.loads(capsys.readouterr().out)["data"]["verbs"]
    shell = next(each for each in verb["arguments"] if each["flags"] == ["shell"])
    assert shell["choices"] == ["bash", "zsh", "fish", "tcsh"]


def test_an_unknown_command_gets_the_nearest_one(capsys):
    assert main(["help", "complete"]) == 2
    assert capsys.readouterr().err == "error: no command is called `complete`\nhint: `devrun help completion`\n"


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (["up", "--replce"], "`devrun up` does not take `--replce`", "did you mean `--replace`?"),
        (["ps", "--al=1", "x"], "`devrun ps` does not take `--al=1 x`", "did you mean `--all`?"),
        (["check", "-z"], "`devrun check` does not take `-z`", "`devrun check --help`"),
        (["--nope"], "`devrun` does not take `--nope`", "`devrun --help`"),
    ],
)
def test_words_a_command_does_not_take_are_named_with_the_nearest_option(capsys, words, what, hint):
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {what}\nhint: {hint}\n"


def test_the_exit_codes_of_the_json_are_those_of_the_help(capsys):
    assert main(["help", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]["exit_codes"]
    assert main(["help"]) == 0
    shown = capsys.readouterr().out.partition("exit codes:\n")[2].splitlines()
    assert [line.split(maxsplit=1) for line in shown] == [list(each) for each in told.items()]


@pytest.mark.parametrize("columns", ["9" * 5000, "1", "0", "-3", "x", "٣"])
def test_help_is_shown_whatever_the_width_is_said_to_be(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["help"]) == 0
    assert "worktree" in capsys.readouterr().out
