"""The completion scripts complete: bash runs the real one."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from devrun.cli import main
from devrun.verbs import VERBS
from tests.support.devrun import PROGRAM


def complete_in_bash(*words, cwd):
    """Ask bash what it offers for the last word."""
    ask = f"""
    source <("{PROGRAM}" completion bash)
    COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}
    _shtab_devrun; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = os.path.dirname(PROGRAM) + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_bash_completes_the_names_of_commands(tmp_path):
    assert complete_in_bash("devrun", "comp", cwd=tmp_path) == ["completion"]
    assert set(complete_in_bash("devrun", "", cwd=tmp_path)) >= {verb.name for verb in VERBS}


def test_bash_completes_the_services_of_this_folder(tmp_path):
    (tmp_path / "services.yaml").write_text(
        "services:\n  api: {command: x}\n  app: {command: x}\n  web: {command: x}\n"
    )
    assert complete_in_bash("devrun", "up", "ap", cwd=tmp_path) == ["api", "app"]


def test_completing_services_never_complains(tmp_path, capsys, monkeypatch):
    (tmp_path / "services.yaml").write_text("services: [")
    monkeypatch.chdir(tmp_path)
    assert main(["completion", "--services"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_gets_a_script_that_names_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb.name in script for verb in VERBS)


def test_json_wraps_the_script(capsys):
    assert main(["completion", "bash", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "completion"
    assert answer["data"]["script"].startswith("# AUTOMATICALLY GENERATED")


def test_no_shell_is_a_usage_error(capsys):
    assert main(["completion"]) == 2
    assert "`devrun completion bash`" in capsys.readouterr().err
