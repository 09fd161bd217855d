"""Verbs called in this process, as `cli.main` is called."""

from __future__ import annotations

import json

import jsonschema
import pytest

from devrun.cli import main
from devrun.report.schemas import answer_schema


@pytest.fixture
def devrun(capsys):
    """Run a verb; return exit code, answer (its `data` when it is JSON, which must fit its schema), narration."""

    def run(*words):
        capsys.readouterr()
        code = main(list(words))
        printed = capsys.readouterr()
        if "--json" not in words:
            return code, printed.out, printed.err
        answer = json.loads(printed.out)
        jsonschema.validate(answer, answer_schema(answer["kind"]))
        return code, answer["data"], printed.err

    return run
