"""Which worktree is this, what git lists, and is it gone."""
