"""How a run holds together: one file per layer."""
