"""What a worktree wants of the ledger: the bases of its ports, and a pinned slot."""

from __future__ import annotations

import os
import time

from devrun.config.project import Project
from devrun.errors import UsageError
from devrun.model import PortBase, Worktree
from devrun.state.leases import Lease
from devrun.worktrees.paths import folder_of

PIN_VARIABLE = "DEVRUN_PIN_SLOT"


def port_bases(project: Project) -> tuple[PortBase, ...]:
    """Return every port of the project before the offset, in the order of the configuration."""
    return tuple(
        PortBase(service.name, name, port, service.fixed)
        for service in project.services.values()
        for name, port in (("", service.port), *service.ports.items())
        if port is not None
    )


def wanted_slot(flag: int | None, project: Project) -> int | None:
    """Return the pinned slot: `--slot`, then DEVRUN_PIN_SLOT, then `ports.slot`; None without a pin."""
    if flag is not None:
        return _slot(str(flag), "--slot")
    text = os.environ.get(PIN_VARIABLE, "")
    if text:
        return _slot(text, PIN_VARIABLE)
    slot = project.ports.slot
    return None if slot is None else _slot(str(slot), "ports.slot")


def wish_of(worktree: Worktree, project: Project, pin: int | None) -> Lease:
    """Return the lease that a worktree would have on its pinned slot, or, before one is chosen, on slot 0."""
    repository = worktree.repository
    return Lease(
        identity=worktree.identity,
        root=worktree.root,
        repository=repository,
        slug=worktree.slug,
        is_main=worktree.is_main,
        slot=0 if pin is None else pin,
        stride=project.ports.stride,
        pinned=pin is not None,
        bases=port_bases(project),
        claimed_at=time.time(),
        file_id=worktree.file_id,
        parent_device=_device(os.path.dirname(worktree.root)),
        repository_parent_device=None if repository is None else _device(os.path.dirname(folder_of(repository))),
    )


def _slot(text: str, source: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len("65535")):
        raise UsageError(
            f"`{source}`: `{text}` is no slot", hint="a slot is a small number: 0 is the main checkout, 1, 2, …"
        )
    return int(text)


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None
