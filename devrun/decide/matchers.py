"""Evidence: why a process is ours to stop.  One small function a kind, one row a function.

A function takes a record and the context and returns `Evidence` or None.  A fact that is missing is
no evidence: every function here fails towards None.  What a piece is worth:

- PROOF stands alone;
- CANDIDATE (it listens on the service's port, its command line matches) proves nothing by itself;
- HINT together with CANDIDATE is proof, alone it is reported at most.

In a guard everything that would be proof in a sweep is a hint: a guard looks only at who is in the
way of its service.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from devrun.decide import commandline, programs
from devrun.decide.context import Context
from devrun.decide.fate import Fate, judge
from devrun.model import Evidence, Liveness, ProcessRecord, Situation, Strength, Surroundings

GUARDS = frozenset({Situation.GUARD, Situation.GUARD_FORCE})
SWEEP = frozenset({Situation.SWEEP})
REAP = frozenset({Situation.REAP})
TEARDOWN = frozenset({Situation.TEARDOWN})


class Matcher(Protocol):
    """The signature of every matcher."""

    def __call__(self, record: ProcessRecord, context: Context, /) -> Evidence | None:
        """Return the evidence, None when there is none or a fact is missing."""
        ...


class MatcherRow(NamedTuple):
    """A matcher, and where it is asked."""

    find: Matcher
    situations: frozenset[Situation]


def dead_run(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Carries the stamp of a run that its locks prove dead.  A run without a record is not dead but unknown."""
    stamp, run = context.stamp(record), context.run_of(record)
    if stamp is None or run is None or run.liveness is not Liveness.DEAD:
        return None
    return Evidence(
        "dead-run",
        _worth(context),
        f"started for `{stamp.worktree}` (`{stamp.service}`) by run {stamp.run}, which is dead",
    )


def own_stamp(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Carries the stamp of the very run and service whose next start this guard clears."""
    stamp = context.stamp(record)
    if stamp is None or context.target is None or context.run is None:
        return None
    if stamp.run != context.run or stamp.service != context.target.service:
        return None
    return Evidence("own-stamp", Strength.PROOF, f"left over from an earlier start of `{stamp.service}` in this run")


def gone_worktree(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Stands in a worktree that is gone, by the table of `fate`; a deleted sub-folder of a live one is a hint."""
    place, row = context.where(record), context.fate(record)
    if place is None or place.root is None:
        return None
    words = f"stands in `{place.root}`: {row.words}"
    if row.fate is Fate.ORPHAN:
        return Evidence("worktree-gone", _worth(context), words)
    if row.fate is Fate.ORPHAN_IF_STAMPED:
        stamp = context.stamp(record)
        stamped = stamp is not None and stamp.worktree == place.root
        return Evidence("worktree-gone", _worth(context) if stamped else Strength.HINT, words)
    if row.fate is Fate.REPORT:
        return Evidence("folder-deleted", Strength.HINT, words)
    return None


def listens(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Listens on a port of the service.  Anybody may."""
    ports = held_ports(record, context)
    if not ports:
        return None
    return Evidence("port", Strength.CANDIDATE, f"listens on {', '.join(str(port) for port in sorted(ports))}")


def command_matches(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Has the service's `match` in its command line.  So have siblings, editors and prompts."""
    pattern = context.target.match if context.target is not None else None
    if not pattern or not commandline.matches(pattern, record):
        return None
    return Evidence("match", Strength.CANDIDATE, f"its command line has `{pattern}`")


def stands_here(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Stands in the worktree asked about, by its innermost worktree: proof at its removal, a hint for a guard."""
    place = context.where(record)
    if place is None or not context.stands_in(record) or context.fate(record).fate is Fate.UNKNOWN:
        return None
    return Evidence("worktree", _worth(context), f"stands in `{place.root}`")


def started_here(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Was started in the worktree asked about and went elsewhere (`mint dev` moves to the home directory).

    `PWD` at exec and `INIT_CWD`, or else the script, all point here; where none of them points into
    any worktree, the chain of servers and wrappers above it decides.  Standing in another live worktree
    outweighs all: `make -C` and agents hand on a PWD that is not true.
    """
    place, environment = context.where(record), record.environment
    if context.worktree is None or environment is None or environment.pwd is None:
        return None
    if place is None or _is_at_home_in(place, record, context):
        return None
    origins = [origin for origin in context.origins.get(record.identity, ()) if origin.root is not None]
    here = all(context.is_here(origin) for origin in origins) if origins else _parents_stand_here(record, context)
    return Evidence("started-here", Strength.HINT, f"was started in `{context.worktree.root}`") if here else None


def _is_at_home_in(place: Surroundings, record: ProcessRecord, context: Context) -> bool:
    """Say whether where a process stands is another live worktree that it may be the server of.

    The repository around ours is none (dotfiles kept in the home folder), nor is one that a process with
    the `match` went to from a script that lies elsewhere.
    """
    if context.is_sibling(place):
        return True
    if context.worktree is None or place.root is None or place.live is False or context.is_here(place):
        return False
    inside = place.root.rstrip("/") + "/"
    if context.worktree.root.startswith(inside):
        return False
    return (record.script or inside).startswith(inside) or command_matches(record, context) is None


def started_in_gone_worktree(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Was started in a worktree that is gone, and went elsewhere: the docs server of last week's worktree.

    `PWD` at exec and `INIT_CWD`, or else the script, all point into worktrees that are gone.  Only
    with `match`, and for who stands in no live worktree.  An agent hands its own PWD to whatever it
    starts: a sweep, which nobody's port asked for, only reports while such a program is above it.
    """
    place, guards = context.where(record), context.situation in GUARDS
    if place is None or (place.root is not None and place.live is not False):
        return None
    matched = command_matches(record, context) if guards else _of_known_kind(record, context)
    origins = [origin for origin in context.origins.get(record.identity, ()) if origin.root is not None]
    if matched is None or not origins or any(judge(origin).fate is not Fate.ORPHAN for origin in origins):
        return None
    words = f"was started in `{origins[0].root}`, which is gone"
    if guards:
        return Evidence("started-in-gone", Strength.HINT, words)
    is_attended = _has_somebody_above(record, context)
    return Evidence("started-in-gone", Strength.HINT if is_attended else Strength.PROOF, f"{words}; {matched.detail}")


def _of_known_kind(record: ProcessRecord, context: Context) -> Evidence | None:
    """Return the `match` of a service of this project that a process has in its command line."""
    pattern = next((each for each in sorted(context.matches) if commandline.matches(each, record)), None)
    return None if pattern is None else Evidence("match", Strength.CANDIDATE, f"its command line has `{pattern}`")


def _has_somebody_above(record: ProcessRecord, context: Context) -> bool:
    """Say whether an agent, an editor, a person's shell or their kind still looks after a process, or may."""
    return any(
        above.argv is None or (programs.kind(above) is not None and not programs.is_wrapper_shell(above))
        for above in context.snapshot.lineage(record.pid)[1:]
        if above.pid > 1
    )


def _parents_stand_here(record: ProcessRecord, context: Context) -> bool:
    """Say whether the nearest of the servers and wrappers above `record` that stands in a worktree stands in this one.

    The chain ends at a person's shell, an agent, or ourselves: those start things for every worktree.
    """
    for ancestor in context.snapshot.lineage(record.pid)[1:]:
        if context.lineage is None or ancestor.pid in context.lineage:
            return False
        if not programs.is_runtime(ancestor, context.runtimes) and not programs.is_wrapper_shell(ancestor):
            return False
        place = context.where(ancestor)
        if place is not None and place.root is not None:
            return context.is_here(place)
    return False


def foreign_holder(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Holds the port of a service that may stop strangers (`--force`, `on_foreign: stop`)."""
    if context.target is None or not context.target.stop_foreign or not held_ports(record, context):
        return None
    return Evidence(
        "foreign", Strength.PROOF, f"holds a port of `{context.target.service}`, whose strangers may be stopped"
    )


def stamped_for(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Carries the stamp of the worktree that is reaped, wherever it went."""
    stamp, run = context.stamp(record), context.run_of(record)
    if stamp is None or run is None or not context.is_reaped(run):
        return None
    return Evidence("stamp", Strength.PROOF, f"started for `{stamp.worktree}` (`{stamp.service}`) by run {stamp.run}")


def orphaned_monitor(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Holds the fsmonitor socket of a worktree that is gone; in a reap, of the one that is reaped."""
    place = context.sockets.get(record.identity)
    if place is None:
        return None
    words, row = f"holds the fsmonitor socket of `{place.root}`", judge(place)
    if context.situation is Situation.REAP:
        is_ours = context.is_here(place) and row.fate is not Fate.UNKNOWN
        return Evidence("fsmonitor", Strength.PROOF, words) if is_ours else None
    return Evidence("fsmonitor", Strength.PROOF, f"{words}: {row.words}") if row.fate is Fate.ORPHAN else None


def missing_from_registry(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Is of a kind that a registry tracks, and the registry does not list it."""
    name = context.untracked.get(record.identity)
    return None if name is None else Evidence("untracked", Strength.PROOF, f"registry `{name}` does not list it")


def suspect(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Is of a kind that should have a live owner, and has none.  Reported, never stopped."""
    name = context.suspects.get(record.identity)
    if name is None:
        return None
    return Evidence(
        "suspect", Strength.HINT, f"suspect `{name}` without a live owner: `kill {record.pid}` would stop it"
    )


def tree_member(record: ProcessRecord, context: Context, /) -> Evidence | None:
    """Belongs to the tree that is torn down: by session, by descent, or by the stamp of this run and service."""
    member = context.members.get(record.identity)
    if member is None:
        return None
    whose = f"`{member.service}`" if member.service else f"run {context.run}"
    words = {"session": "is in the session of", "descendant": "descends from", "stamp": "carries the stamp of"}
    return Evidence(member.rule, Strength.PROOF, f"{words[member.rule]} {whose}")


MATCHERS: tuple[MatcherRow, ...] = (
    MatcherRow(tree_member, TEARDOWN),
    MatcherRow(own_stamp, GUARDS),
    MatcherRow(listens, GUARDS),
    MatcherRow(command_matches, GUARDS),
    MatcherRow(stamped_for, REAP),
    MatcherRow(stands_here, GUARDS | REAP),
    MatcherRow(started_here, GUARDS),
    MatcherRow(dead_run, GUARDS | SWEEP),
    MatcherRow(gone_worktree, GUARDS | SWEEP),
    MatcherRow(started_in_gone_worktree, GUARDS | SWEEP),
    MatcherRow(orphaned_monitor, SWEEP | REAP),
    MatcherRow(missing_from_registry, SWEEP),
    MatcherRow(suspect, SWEEP),
    MatcherRow(foreign_holder, frozenset({Situation.GUARD_FORCE})),
)


def held_ports(record: ProcessRecord, context: Context, /) -> frozenset[int]:
    """Return the ports of the target that `record` listens on."""
    if context.target is None or not context.target.ports:
        return frozenset()
    return context.holders.get(record.pid, frozenset()) & context.target.ports


def _worth(context: Context) -> Strength:
    return Strength.HINT if context.situation in GUARDS else Strength.PROOF
