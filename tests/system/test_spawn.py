"""A fork of devrun itself: what asks for an end in that moment is neither lost nor taken for its parent's."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
from devrun.interrupt import ASKING, Interrupted, interruptible
from devrun.system.spawn import fork
if WHERE == "child":
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
else:
    os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
ends = 0
with interruptible():
    try:
        pid = fork(ASKING)
        if pid == 0:
            os._exit(20 + len(signal.sigpending()) if ASKING[0] in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else 1)
    except Interrupted as error:
        ends = error.exit_code
print(os.waitstatus_to_exitcode(os.wait()[1]), ends)
"""


def run(where):
    words = [sys.executable, "-c", PROGRAM.replace("WHERE", repr(where))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.split(), done.stderr


def test_a_signal_that_comes_while_a_child_is_made_waits_for_who_takes_signals_there():
    assert run("child") == (["21", "0"], "")


def test_a_signal_that_comes_to_the_parent_meanwhile_is_raised_once_the_child_is_made():
    assert run("parent") == (["20", "143"], "")
