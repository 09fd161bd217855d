"""`python -m devrun`."""

import sys

from devrun.cli import main

sys.exit(main())
