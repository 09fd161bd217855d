"""Who belongs to the tree of a service, or of a whole run: sessions, descendants, stamps.

The tree is the session of each anchor, what descends from its members, and whoever carries the
stamp of the run and service.  The anchors themselves are never members: they keep the session's
number reserved until the tree is empty.

A protected program below the tree (a browser that `vite --open` started, a tmux server, an editor,
an agent) is a member, so that it is seen and reported, but what *it* started is not: its windows
are somebody's work.  A program in the anchor's own session is the service itself, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from devrun.decide.programs import SHELL, is_wrapper_shell, kind
from devrun.model import ProcessIdentity, ProcessRecord

if TYPE_CHECKING:
    from devrun.decide.context import Context, Tree


class Member(NamedTuple):
    """Why a process is in the tree, and of which service (None: of the run, the service is not known)."""

    rule: str
    service: str | None


def tree_members(context: Context, /) -> Mapping[ProcessIdentity, Member]:
    """Return the members of the tree that `context.tree` is about; nobody without one."""
    if context.tree is None:
        return {}
    snapshot, members = context.snapshot, dict[ProcessIdentity, Member]()
    leaders = frozenset(context.tree.leaders.values())
    for record, member in _found(context):
        if record.identity in leaders or record.identity in members:
            continue
        if member.rule == "session" or not is_sheltered(record, context):
            members[record.identity] = member
    for identity, member in tuple(members.items()):
        for record in snapshot.descendants(identity.pid):
            if record.identity not in members and record.identity not in leaders and not is_sheltered(record, context):
                members[record.identity] = Member("descendant", member.service)
    return members


def is_shelter(record: ProcessRecord, context: Context, /) -> bool:
    """Say whether what `record` started is its own business: a protected program, or a shell somebody types into."""
    if context.in_made_session(record):
        return False
    found = kind(record)
    if found == SHELL:
        return record.tty != 0 and not is_wrapper_shell(record)
    return found is not None


def is_sheltered(record: ProcessRecord, context: Context, /) -> bool:
    """Say whether a shelter stands between `record` and the tree (its own session, or this process)."""
    for ancestor in context.snapshot.lineage(record.pid)[1:]:
        if ancestor.pid == context.snapshot.self_pid or context.in_made_session(ancestor):
            return False
        if is_shelter(ancestor, context) and (ancestor.stamp is not None or below(ancestor, context)):
            return True
    return False


def below(record: ProcessRecord, context: Context, /) -> bool:
    """Say whether `record` descends from this process."""
    return any(each.pid == context.snapshot.self_pid for each in context.snapshot.lineage(record.pid)[1:])


def _found(context: Context) -> Iterator[tuple[ProcessRecord, Member]]:
    """Yield the members that can be told without asking for their relatives."""
    if context.tree is None:
        return
    yield from _in_sessions(context)
    yield from _stamped(context, context.tree)
    if context.tree.everything:
        for record in context.snapshot.descendants(context.snapshot.self_pid):
            if not _was_here_before(record, context, context.tree.since):
                yield record, Member("descendant", None)
    for service, leader in context.tree.leaders.items():
        if context.snapshot.find(leader) is not None:
            for record in context.snapshot.descendants(leader.pid):
                yield record, Member("descendant", service)


def _was_here_before(record: ProcessRecord, context: Context, since: int | None) -> bool:
    """Say whether `record`, or one between it and this process, is older than the run."""
    for each in context.snapshot.lineage(record.pid) if since is not None else ():
        if each.pid == context.snapshot.self_pid:
            return False
        if each.identity.start_token < (since or 0):
            return True
    return False


def _in_sessions(context: Context) -> Iterator[tuple[ProcessRecord, Member]]:
    for record in context.snapshot:
        service = None if record.sid is None else context.tree_sessions.get(record.sid)
        if service is not None:
            yield record, Member("session", service)


def _stamped(context: Context, tree: Tree) -> Iterator[tuple[ProcessRecord, Member]]:
    for record in context.snapshot:
        stamp = context.stamp(record)
        if stamp is not None and stamp.run == context.run and (tree.everything or stamp.service in tree.leaders):
            yield record, Member("stamp", stamp.service)
