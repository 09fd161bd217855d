"""Stop, start and restart services of a live run: ask, wait for it, say what became of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from devrun.config.problems import did_you_mean
from devrun.config.select import meant_by
from devrun.errors import DevrunError, UsageError
from devrun.report.background import failure_of, report_failure
from devrun.report.console import Output
from devrun.report.services import outcome_lines, outcomes_of
from devrun.run.life.events import FINAL_PHASES
from devrun.run.output.lastwords import last_words
from devrun.run.talk import protocol
from devrun.run.talk.client import ask
from devrun.run.talk.live import require_run
from devrun.run.talk.protocol import Ask
from devrun.state import open_state
from devrun.workspace import find_worktree, open_workspace


def change_services(output: Output, verb: str, words: Sequence[str], *, file: str | None) -> int:
    """Have the run of this worktree `stop`, `start` or `restart` services; return when they have come to rest.

    Raises DevrunError with a hint when nothing runs.
    """
    with open_state(create=False) as state:
        run = require_run(state, find_worktree(file))
        before = {each.name: each.state for each in ask(run, Ask(protocol.STATUS)).services}
        resting = _find_resting(words, before, file=file) if verb == protocol.STOP else {}
        names = find_names((word for word in words if word not in resting), before)
        # Without a name the run would take all of them for meant.
        answer = ask(run, Ask(verb, names=names) if names else Ask(protocol.STATUS))
        if answer.code and verb != protocol.STOP:
            return report_failure(output, failure_of(answer, names, last_words(state, run, names)))
    ended = {phase.value for phase in FINAL_PHASES}
    for each in answer.services if verb == protocol.STOP else ():
        if each.name not in names and each.state in ended and before.get(each.name) not in ended:
            output.say(f"`{each.name}` is {each.state} too: it depends on what was stopped")
    never_started = [name for found in resting.values() for name in found]
    outcomes = outcomes_of({**answer.outcomes, **dict.fromkeys(never_started, "unchanged")})
    output.answer(verb, outcomes, outcome_lines(outcomes))
    return 0


def _find_resting(words: Iterable[str], known: Collection[str], *, file: str | None) -> dict[str, list[str]]:
    """Return the words that mean services which are configured and not in the run: there is nothing to stop."""
    unknown = [word for word in words if not meant_by(word, known)]
    if not unknown:
        return {}
    try:
        configured = open_workspace(file=file).project.services
    except DevrunError:  # then nobody knows what was meant
        return {}
    return {word: found for word in unknown if (found := meant_by(word, configured))}


def find_names(words: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return the services of a run that `words` mean: by name, or all instances of a formation (`web.1`, `web.2`).

    Raises UsageError for a word that means none.
    """
    services = tuple(known)
    found: list[str] = []
    for word in words:
        chosen = meant_by(word, services)
        if not chosen:
            listed = "it has " + (", ".join(f"`{name}`" for name in services) or "no services")
            hint = did_you_mean(word, services) or f"{listed}; `devrun up -d {word}` adds a service"
            raise UsageError(f"the run has no service `{word}`", hint=hint)
        found += chosen
    return tuple(dict.fromkeys(found))
