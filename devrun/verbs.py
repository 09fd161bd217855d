"""The table of verbs: name, module, effect, help, arguments.

A verb is a row here and a file `commands/<module>.py` with `run(output, *, …) -> int`, one keyword
per argument.  `effect` says what the verb may do to the machine: `read` changes nothing, `write`
changes devrun's state or starts services, `destructive` may stop processes or remove files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

READ, WRITE, DESTRUCTIVE = "read", "write", "destructive"


class Argument(NamedTuple):
    """What `argparse.add_argument` takes."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]


class Verb(NamedTuple):
    """One row.  `help` is 3–6 words; `description` numbered steps and what it never does."""

    name: str
    module: str
    effect: str
    help: str
    description: str
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


JSON = _argument("--json", action="store_true", help="print one JSON object on stdout")
FILE = _argument("-f", "--file", metavar="FILE", help="services.yaml or Procfile to read (default: found upwards)")
SERVICES = _argument("services", nargs="*", metavar="SERVICE", help="services to act on (default: all)")
DRY_RUN = _argument("-n", "--dry-run", action="store_true", help="print the plan that would be executed, do nothing")

VERBS: tuple[Verb, ...] = (
    Verb(
        name="completion",
        module="completion",
        effect=READ,
        help="print a shell completion script",
        description=(
            "1. builds the script from the same table as --help\n"
            "2. names of services are looked up while completing\n"
            "Never writes a file; the script goes to stdout."
        ),
        examples=(
            "source <(devrun completion bash)",
            "devrun completion zsh > ~/.zfunc/_devrun",
            "devrun completion fish > ~/.config/fish/completions/devrun.fish",
        ),
        arguments=(
            _argument(
                "shell",
                nargs="?",
                choices=("bash", "zsh", "fish", "tcsh"),
                metavar="SHELL",
                help="bash, zsh, fish, tcsh",
            ),
            _argument("--services", action="store_true", help="print the names of the services here, one per line"),
            JSON,
        ),
    ),
    Verb(
        name="help",
        module="help",
        effect=READ,
        help="list commands and their effects",
        description=(
            "1. without a name: every command; with one: its long help\n"
            "2. with --json: effect (read, write, destructive), arguments, exit codes\n"
            "A command that is not listed is unknown, not safe."
        ),
        examples=("devrun help", "devrun help up", "devrun help --json"),
        arguments=(_argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"), JSON),
    ),
)
