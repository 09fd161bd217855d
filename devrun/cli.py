"""The command line: the table of verbs becomes a parser, one verb runs, one boundary catches.

`main` returns the exit code and never lets a traceback out: an expected failure is two lines, an
interrupt is silent, anything else is a bug of devrun with a report file.  The verb's module is
imported after parsing, so `--help` loads nothing that a verb needs; and a verb pays for its own row
of the table, not for all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from devrun import __version__
from devrun.errors import EXIT_CODES, DevrunError, UsageError, exhausted, reason_of
from devrun.interrupt import ASKING, Interrupted, interruptible
from devrun.report.console import Output, UnwritableError
from devrun.verbs import READ, VERBS, Verb

_MOST_DIGITS = 5
_USUAL_WIDTH = 80
_LONGEST_VERB = 4 + max(len(verb.name) for verb in VERBS)
_COLLECT_EVERY = 20_000
"""New objects between two garbage collections.  Python's own 700 cost a start 5 % of its time, looking
again and again at modules that stay; many more, and cycles of a long run wait for longer."""


class _Parser(argparse.ArgumentParser):
    """argparse that reports through the error boundary."""

    _intermixing = False

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, hint=f"`{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Let options stand between words (`up web -d api`): argparse alone gives up after the first of them."""
        words = {action.nargs for action in self._get_positional_actions()}
        if self._intermixing or not words & {"?", "*"} or words & {argparse.REMAINDER, argparse.PARSER}:
            return super().parse_known_args(args, namespace)
        self._intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixing = False


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal.  argparse makes one for each argument and would import shutil to ask for the width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_terminal_width() - 2)
        self._action_max_length = _LONGEST_VERB  # argparse forgets how far it indents sub-commands


def _terminal_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and len(columns) <= _MOST_DIGITS and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


def build_parser(wanted: Sequence[Verb] = VERBS) -> argparse.ArgumentParser:
    """Build the parser from the rows of the table of verbs that are wanted."""
    parser = _Parser(
        prog="devrun",
        description="Start the services of this worktree on ports of its own, and leave nothing behind.",
        epilog="exit codes:\n" + "\n".join(f"  {code:<7}{meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"devrun {__version__}")
    verbs = parser.add_subparsers(title="commands", dest="verb", metavar="COMMAND", parser_class=_Parser, prog="devrun")
    for verb in wanted:
        epilog = "examples:\n" + "\n".join(f"  {line}" for line in verb.examples)
        child = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=f"{verb.help}\n\n{verb.description}".strip(),
            epilog=epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        child.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="when to use colour")
        for argument in verb.arguments:
            child.add_argument(*argument.flags, **dict(argument.options))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run devrun; return its exit code."""
    _hear_of_children()
    gc.set_threshold(_COLLECT_EVERY)
    words = list(sys.argv[1:] if argv is None else argv)
    own = words[: words.index("--")] if "--" in words else words
    output = Output(json="--json" in own and not _runs_a_command(words))
    try:
        return _run(words, output)
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except UnwritableError as error:
        _discard_stdout()
        output.complain(f"the output cannot be written: {reason_of(error)}")
        return 1
    except Exception as error:  # noqa: BLE001 - the boundary
        failure = exhausted(error)
        if failure is None:
            from devrun.report.crash import report_bug

            failure = report_bug(error, words)
        with contextlib.suppress(Exception):  # the bug may be in the very saying
            output.fail(failure)
        return failure.exit_code


def _run(words: list[str], output: Output) -> int:
    """Run the verb and hand over what it printed, while a failure of that can still be told."""
    try:
        _open_standard_descriptors()
        code = _dispatch(words)
    except DevrunError as error:
        output.fail(error)
        code = error.exit_code
    finally:  # also on argparse's way out of `--help`, which is SystemExit
        output.flush()
    return code


def _discard_stdout() -> None:
    """Have the interpreter, which flushes at its end, write into nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _runs_a_command(words: list[str]) -> bool:
    """Whether the words end in somebody else's command line, whose options are not ours."""
    verb = next((each for each in VERBS if words and each.name == words[0]), None)
    return verb is not None and any(each.options.get("nargs") == argparse.REMAINDER for each in verb.arguments)


def _open_standard_descriptors() -> None:
    """Fill 0, 1 and 2 where they were closed: the next file opened would become stdout else.

    Raises DevrunError where there is nothing to fill them with.
    """
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr is the last of the three
            os.set_inheritable(descriptor, True)
    except OSError as error:
        message = f"`{os.devnull}` cannot be opened: {reason_of(error)}"
        raise exhausted(error) or DevrunError(message, hint=f"`ls -l {os.devnull}`") from error
    os.close(descriptor)


def _hear_of_children() -> None:
    """Be told of the end of children, and how: a caller may ignore SIGCHLD, which survives exec, and then nobody is."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def find_verb(word: str, *, asked: str = "devrun") -> Verb:
    """Return the verb of this name; raise UsageError naming the one that was meant (`asked`: the words before it)."""
    names = {verb.name: verb for verb in VERBS}
    if word not in names:
        from difflib import get_close_matches

        close = get_close_matches(word, names, n=1)
        hint = f"`{asked} {close[0]}`" if close else "`devrun --help`"
        raise UsageError(f"no command is called `{word}`", hint=hint)
    return names[word]


def _not_understood(unknown: list[str], verb: Verb | None) -> UsageError:
    """Explain words that are left over: the option that was meant, or where the options are listed."""
    from difflib import get_close_matches

    prog = "devrun" if verb is None else f"devrun {verb.name}"
    flags = [flag for argument in (() if verb is None else verb.arguments) for flag in argument.flags]
    long = [each for each in flags if each.startswith("--")]
    close = get_close_matches(unknown[0].partition("=")[0], long, n=1, cutoff=0.7)
    hint = f"did you mean `{close[0]}`?" if close else f"`{prog} --help`"
    return UsageError(f"`{prog}` does not take `{' '.join(unknown)}`", hint=hint)


def _dispatch(words: list[str]) -> int:
    word = next((each for each in words if not each.startswith("-")), None)
    if word is not None:
        find_verb(word)  # argparse would list all of them instead of the one that was meant
    parser = build_parser([verb for verb in VERBS if verb.name in words[:1]] or VERBS)
    found, unknown = parser.parse_known_args(words)
    options = vars(found)
    name = options.pop("verb")
    if name is None and not unknown:
        parser.print_help()
        return 2
    verb = None if name is None else find_verb(name)
    if unknown or verb is None:
        raise _not_understood(unknown, verb)
    output = Output(json=options.pop("json", False), color=options.pop("color"))
    module = importlib.import_module(f"devrun.commands.{verb.module}")
    gc.freeze()  # modules stay: no collection has to look at them, nor the end of the process take them down
    with interruptible((signal.SIGINT,) if verb.effect == READ else ASKING):
        code: int = module.run(output, **options)
    return code
