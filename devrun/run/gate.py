"""What stands between the state machine and a start: the guard, and who really has the port."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from devrun.cleanup import GuardReport, guard
from devrun.config.project import Service
from devrun.model import ProcessIdentity
from devrun.run.book import RunBook
from devrun.run.events import MainExited
from devrun.run.plan import RunPlan
from devrun.system.processes import read_snapshot
from devrun.system.sockets import listeners_on
