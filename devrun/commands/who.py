"""`devrun who PORT`: who listens on a port, and whose service it is.  Only looks."""

from __future__ import annotations

from devrun.cleanup.holders import holders_of
from devrun.errors import UsageError
from devrun.ports.arithmetic import HIGHEST
from devrun.ports.ledger import in_use
from devrun.report.console import Output
from devrun.report.history import who_data, who_lines
from devrun.state import State, open_state


def run(output: Output, *, port: int) -> int:
    """Name the holders, and beside them the worktrees that the port is leased to."""
    if not 0 < port <= HIGHEST:
        raise UsageError(f"`{port}` is no port", hint=f"a port is a number from 1 to {HIGHEST}")
    with open_state(create=False) as state:
        rows, hidden = holders_of(state, port)
        leased = _leased(state, port)
    data = who_data(port, rows, hidden=hidden)
    if not data["holders"]:
        output.say(f"nobody listens on {port}")
    for line in leased:
        output.say(line)
    output.answer("who", data, who_lines(data))
    return 0


def _leased(state: State, port: int) -> list[str]:
    """Return whose port it is by the ledger, whoever sits on it."""
    return [
        f"port {port} is {'taken by' if ports.slot != lease.slot else 'leased to'}"
        f" `{service}{f':{name}' if name else ''}` of `{lease.root}` (slot {ports.slot})"
        for lease in state.leases.all()
        for ports in [in_use(state, lease)]
        for service, named in ports.ports.items()
        for name, number in named.items()
        if number == port
    ]
