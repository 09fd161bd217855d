"""The state folder: leases, runs and journal of all worktrees of this user on this machine."""

from devrun.state.store import State, open_state

__all__ = ["State", "open_state"]
