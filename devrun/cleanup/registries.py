"""Facts from registries: an authority lists the live processes of its kind, running minus listed are orphans.

Whatever keeps the list from being read (no answer, an error, another shape, no time) leaves the kind
alone and is said: unknown is never "none".  Who is younger than the grace may not be listed yet; who
descends from a listed process is that one's business; who is listed stays, whatever else speaks
against it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from devrun.cleanup.values import Listing, Skipped
from devrun.config.project import Registry
from devrun.decide import commandline
from devrun.decide.listed import MalformedError, listed_pids
from devrun.errors import reason_of
from devrun.model import STAMP_VARIABLES, ProcessIdentity, ProcessRecord
from devrun.system.bounded import TooLongError, run_bounded
from devrun.system.fetch import UnavailableError, fetch, remaining
from devrun.worktrees.survey import Survey

_LARGEST = 4 << 20
_STAMP = frozenset(STAMP_VARIABLES) - {"DEVRUN_STATE_DIR"}  # which people set themselves, too


def consult(survey: Survey, registries: Sequence[Registry], *, root: str | None, until: float) -> Listing:
    """Ask each registry that has anybody of its kind running, before `until` (monotonic)."""
    untracked: dict[ProcessIdentity, str] = {}
    tracked: dict[ProcessIdentity, str] = {}
    skipped: list[Skipped] = []
    for registry in registries:
        records = [survey.snapshot.get(pid) for pid in survey.mentioning([registry.match])]
        alike = [each for each in records if each is not None and commandline.matches(registry.match, each)]
        if not alike:
            continue
        try:
            listed = listed_pids(_ask(registry, root, until), registry.pids)
        except TimeoutError:
            skipped.append(Skipped(_name(registry), "it did not answer within the time budget"))
            continue
        except (UnavailableError, MalformedError, OSError) as error:
            skipped.append(Skipped(_name(registry), str(error)))
            continue
        now = time.time()
        for record in alike:
            if record.pid in listed:
                tracked[record.identity] = registry.name
            elif _is_missing(record, registry, listed, survey, now):
                untracked.setdefault(record.identity, registry.name)
    missed = {who: name for who, name in untracked.items() if who not in tracked}
    return Listing(untracked=missed, tracked=tracked, skipped=tuple(skipped))


def _is_missing(record: ProcessRecord, registry: Registry, listed: frozenset[int], survey: Survey, now: float) -> bool:
    if record.started_at is None or now - record.started_at < registry.grace:
        return False
    chain = survey.snapshot.lineage(record.pid)
    return all(each.ppid is not None for each in chain) and not any(each.pid in listed for each in chain)


def _ask(registry: Registry, root: str | None, until: float) -> bytes:
    """Return the raw answer; raise UnavailableError, TimeoutError or OSError."""
    remaining(until)
    if registry.url is not None:
        return fetch(registry.url, until=until, allowed=registry.allow_hosts)
    if root is None:
        raise UnavailableError("it needs the folder of the configuration")
    if registry.command is not None:
        return _run(registry.command, root, until)
    return _read(os.path.join(root, os.path.expanduser(registry.file or "")))


def _read(path: str) -> bytes:
    """Read a file that is one: a FIFO or a device would hold the sweep up."""
    if not os.path.isfile(path):
        raise UnavailableError(f"`{path}` is no file")
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise UnavailableError(f"`{path}` cannot be read: {reason_of(error)}") from error
    if len(text) > _LARGEST:
        raise UnavailableError(f"`{path}` is longer than {_LARGEST >> 20} MB")
    return text


def _run(command: str | tuple[str, ...], root: str, until: float) -> bytes:
    """Run the command; what is left of it when the time is up is stopped."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    environment = {name: value for name, value in os.environ.items() if name not in _STAMP}
    try:
        done = run_bounded(words, cwd=root, environment=environment, until=until, largest=_LARGEST)
    except TimeoutError:
        raise
    except TooLongError as error:
        raise UnavailableError(f"its answer is longer than {_LARGEST >> 20} MB") from error
    except OSError as error:
        raise UnavailableError(f"`{words[0]}` cannot be started: {reason_of(error)}") from error
    if done.code != 0:
        raise UnavailableError(f"its command ended with exit code {done.code}")
    return done.stdout


def _name(registry: Registry) -> str:
    return f"registry `{registry.name}`"
