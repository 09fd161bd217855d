"""A bug in devrun is told in one line, with the file that has the rest; never as a traceback."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from devrun.cli import main
from devrun.commands import schema


@pytest.fixture
def broken(monkeypatch):
    """Break a verb."""

    def fall_over(*_words, **_options):
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(schema, "run", fall_over)


@pytest.mark.crash
def test_a_bug_is_one_line_and_a_report_without_the_environment(broken, capsys, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    assert main(["schema"]) == 70
    out, err = capsys.readouterr()
    said = re.fullmatch(
        r"error: a bug in devrun: ValueError: nobody thought of this\nhint: the report is in `(.*)`\n", err
    )
    assert (out, said is not None) == ("", True)
    report = Path(said[1]).read_text()
    assert "arguments: ['schema']" in report
    assert report.endswith("ValueError: nobody thought of this\n")
    assert "hunter2" not in report


@pytest.mark.crash
def test_a_bug_under_json_is_an_answer_as_every_error_is(broken, capsys):
    assert main(["schema", "ps", "--json"]) == 70
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["data"]["code"]) == ("error", 70)
    assert answer["data"]["hint"].startswith("the report is in")


def test_a_report_that_cannot_be_written_is_shown(broken, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", os.path.join(os.getcwd(), "missing", "folder"))
    assert main(["schema"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("error: a bug in devrun: ValueError: nobody thought of this\n")
