"""A devrun of another version: the same program that speaks the next control protocol."""

from __future__ import annotations

from msgspec.structs import replace

from devrun.run.talk import protocol

_encode = protocol.encode
protocol.VERSION = 2
protocol.encode = lambda message: _encode(replace(message, devrun=2))
