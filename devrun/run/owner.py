"""Find out whose death ends the run: reads the ancestors of this process and how it was started."""

from __future__ import annotations

import os
import signal

from devrun.decide.programs import AGENT, EDITOR, TERMINAL, kind
from devrun.interrupt import PARENT
from devrun.model import ProcessRecord
from devrun.run.binding import Launch, find_binding, named_owner
from devrun.run.plan import Binding
from devrun.system.processes import Column, read_details, read_lineage

_OWNERS = frozenset({AGENT, EDITOR, TERMINAL})


def find_owner(*, pid: int | None, automatic: bool, detached: bool = False) -> Binding:
    """Return the binding of a run that is started now by this process.

    `pid` is `--owner-pid` (raises UsageError when nobody living has it), `automatic` is `--owner
    auto`.  A run without a terminal, or started with `&` from a script, looks for an owner unasked.
    """
    if pid is not None:
        return Binding(owner=named_owner(pid, read_lineage(pid)))
    snapshot = read_lineage(os.getpid())
    lineage = [record.pid for record in snapshot]
    launch = Launch(
        detached=detached,
        is_orphaned=os.getppid() != PARENT,
        hangup_ignored=signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
        interrupt_ignored=signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    )
    wants_owner = automatic or (not detached and (launch.interrupt_ignored or not _has_terminal()))
    return find_binding(
        read_details(snapshot, lineage, Column.ARGV), launch, is_owner=_is_owner if wants_owner else _is_nobody
    )


def _is_owner(record: ProcessRecord) -> bool:
    return kind(record) in _OWNERS


def _is_nobody(_record: ProcessRecord) -> bool:
    return False


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal (its descriptors may be redirected)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
