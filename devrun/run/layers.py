"""A seam for tests: switch single layers of a run off, to see what each of the others catches alone.

`DEVRUN_DISABLE=traps,tether` leaves the keeper and the next start.  It is read here and nowhere
else, nobody but the tests has a use for it, and a run without a layer breaks devrun's promises.
"""

from __future__ import annotations

import os

TRAPS = "traps"
"""What the supervisor does at an ending it sees; without it, it just ends."""
KEEPER = "keeper"
"""That keeper and supervisor notice each other's death, adopt, and clear up."""
TETHER = "tether"
"""The pty whose hang-up ends a service's session."""
SWEEP = "sweep"
"""What the next `up` does before it starts anything."""


def is_on(layer: str) -> bool:
    """Whether a layer works, as it always does outside of tests."""
    return layer not in os.environ.get("DEVRUN_DISABLE", "").split(",")
