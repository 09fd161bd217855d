"""Join the live run of a worktree, which may be ending just then: that is waited for, and begun anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from devrun.errors import DevrunError
from devrun.model import RunRecord
from devrun.run.talk.client import UnreachableError
from devrun.run.talk.live import is_ending
from devrun.state import open_state

_T = TypeVar("_T")
_ATTEMPTS = 5
"""Runs that may end while a command joins them, each started and ended by somebody else.  Fewer fail in a crowd
of short commands; more follow a run for ever that somebody keeps ending."""


class EndingRunError(DevrunError):
    """The run is ending while somebody joins it: its last user has left, or somebody ended it."""


def follow(join_or_start: Callable[[], _T]) -> _T:
    """Return what `join_or_start` does, called again where the run that it joined was ending."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(EndingRunError):
            return join_or_start()
    return join_or_start()


@contextlib.contextmanager
def joining(run: RunRecord) -> Iterator[None]:
    """Tell the end of a run from any other reason not to reach it.  Raises EndingRunError for the first."""
    try:
        yield
    except UnreachableError as error:
        with open_state(create=False) as state:
            now = state.runs.get(run.id)
            if now is not None and not is_ending(state, now):
                raise
        raise EndingRunError(error.message, hint=error.hint) from error


def refuse_ending(*, stopping: bool) -> None:
    """Raise EndingRunError for a run that answered, but is stopping."""
    if stopping:
        raise EndingRunError("the run is stopping", hint="`devrun up` starts a new one")
