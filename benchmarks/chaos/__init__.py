"""Random events over worktrees: `python -m benchmarks.chaos`."""
