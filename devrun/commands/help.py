"""`devrun help`: the verbs for people, and with `--json` for agents.

The JSON carries the effect of every verb (`read`, `write`, `destructive`), so that an agent can
tell what is safe to call: a verb that is not listed is unknown, not safe.
"""

from __future__ import annotations

import difflib
from typing import Any

from devrun.cli import build_parser
from devrun.errors import UsageError
from devrun.report.console import Output
from devrun.verbs import VERBS, Argument, Verb

EXIT_CODES = {
    "0": "done, or nothing to do",
    "1": "it ran and the answer is bad",
    "2": "usage or configuration",
    "3": "refused: somebody who must not be stopped is in the way",
    "70": "a bug in devrun",
    "124": "not ready in time",
    "128+n": "ended by signal n",
}


def run(output: Output, *, topic: str | None = None) -> int:
    """Show all verbs, or the one named."""
    verbs = VERBS if topic is None else (_find(topic),)
    parser = build_parser()
    if not output.json and topic is not None:
        parser.parse_args([topic, "--help"])  # argparse prints it and exits with 0
    data = {"verbs": [_facts(each) for each in verbs], "exit_codes": EXIT_CODES}
    output.answer("help", data, () if output.json else [parser.format_help().rstrip()], verbatim=True)
    return 0


def _find(topic: str) -> Verb:
    for verb in VERBS:
        if verb.name == topic:
            return verb
    near = difflib.get_close_matches(topic, [verb.name for verb in VERBS], 1)
    raise UsageError(f"no command `{topic}`", hint=f"`devrun help {near[0]}`" if near else "`devrun help`")


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
