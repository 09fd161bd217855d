"""`devrun help`: the verbs for people, and with `--json` for agents.

The JSON carries the effect of every verb (`read`, `write`, `destructive`), so that an agent can
tell what is safe to call: a verb that is not listed is unknown, not safe.
"""

from __future__ import annotations

from typing import Any

from devrun.cli import build_parser, find_verb
from devrun.errors import EXIT_CODES
from devrun.report.console import Output
from devrun.verbs import VERBS, Argument, Verb


def run(output: Output, *, topic: str | None = None) -> int:
    """Show all verbs, or the one named."""
    verbs = VERBS if topic is None else (find_verb(topic, asked="devrun help"),)
    parser = build_parser()
    if not output.json and topic is not None:
        parser.parse_args([topic, "--help"])  # argparse prints it and exits with 0
    data = {"verbs": [_facts(each) for each in verbs], "exit_codes": EXIT_CODES}
    output.answer("help", data, () if output.json else [parser.format_help().rstrip()], verbatim=True)
    return 0


def _facts(verb: Verb) -> dict[str, Any]:
    return {
        "name": verb.name,
        "effect": verb.effect,
        "help": verb.help,
        "description": verb.description,
        "examples": verb.examples,
        "arguments": [_argument_facts(each) for each in verb.arguments],
    }


def _argument_facts(argument: Argument) -> dict[str, Any]:
    options = argument.options
    choices = options.get("choices")
    return {
        "flags": argument.flags,
        "metavar": options.get("metavar"),
        "help": options.get("help", ""),
        "choices": None if choices is None else [str(each) for each in choices],
        "takes_value": options.get("action") not in {"store_true", "store_false", "store_const", "count"},
        "repeats": options.get("nargs") in {"*", "+", "..."} or options.get("action") == "append",
    }
