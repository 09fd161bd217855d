"""What a process may ask of the kernel for itself: adopt orphans, hear of its parent's death.

Both are prctl(2) calls that only Linux has.  Each function tries and says whether it worked: a
sandbox may refuse, another system has no such call, and `DEVRUN_PORTABLE=1` (the tests' way to walk
the path of other systems) turns them off.  Nothing may depend on them alone.
"""

from __future__ import annotations

import sys

from devrun.system.processes import is_portable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Have orphaned descendants re-parented to this process instead of init; return success."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def signal_on_parent_death(signum: int, /) -> bool:
    """Have the kernel send `signum` to this process when the thread that forked it ends.

    The setting is cleared by fork(2).  The caller compares its parent's pid afterwards: the parent
    may have died before the call.
    """
    return _prctl(PR_SET_PDEATHSIG, signum)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux" or is_portable():
        return False
    try:
        import ctypes

        status: int = ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return False
    return status == 0
