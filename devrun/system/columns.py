"""The dear columns of the process table, read for candidates only."""

from __future__ import annotations

import enum


class Column(enum.Flag):
    """What `read_details` fills in.  `ARGV` is argv, exe and script; `ENVIRONMENT` devrun's own keys only."""

    CWD = enum.auto()
    ARGV = enum.auto()
    ENVIRONMENT = enum.auto()
    NAMESPACES = enum.auto()
    ALL = CWD | ARGV | ENVIRONMENT | NAMESPACES


NOTHING = Column(0)
"""No dear column at all."""
