"""`devrun ports`: the ports of this worktree, or (--all) of every worktree that has a lease."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.report.ports import PortsRow, all_ports_lines, ports_data, ports_lines


def run(output: Output, *, every: bool, file: str | None) -> int:
    """Print the ports; without --all this worktree's lease is claimed if it has none."""
    if every:
        return _show_all(output)
    from devrun.workspace import claim_ports, open_workspace

    workspace = open_workspace(file=file)
    ports = claim_ports(workspace, say=output.say)
    row = PortsRow(workspace.worktree.root, ports, tuple(workspace.project.services))
    output.answer("ports", ports_data(row), ports_lines(row, output))
    return 0


def _show_all(output: Output) -> int:
    from devrun.ports.ledger import in_use
    from devrun.state import open_state
    from devrun.worktrees.locate import root_now

    with open_state(create=False) as state:
        leases = [(each, in_use(state, each)) for each in state.leases.all()]
    rows = [PortsRow(root_now(each.identity, each.root), ports, tuple(ports.ports)) for each, ports in leases]
    output.answer("ports", [ports_data(row) for row in rows], all_ports_lines(rows, output))
    return 0
