"""The program: `devrun`, and `python -m devrun`.

Until a verb runs nothing has been begun, so Ctrl-C just ends the process with 130: raised in the
middle of an import or of argparse, KeyboardInterrupt is a traceback, or worse (`devrun.interrupt`).
"""

import os
import signal
import sys


def main() -> int:
    """Run devrun; return its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, and stays so
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from devrun.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
