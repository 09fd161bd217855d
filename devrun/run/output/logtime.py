"""Times of the log files: what `--since` may say, and what is shown of a record's time."""

from __future__ import annotations

import re
import time

from devrun.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_DAY = 86400.0
_SECONDS = len("2026-07-29T12:00:00")


def stamp(moment: float) -> bytes:
    """Return a time as the log files have it: UTC with microseconds, comparable as bytes."""
    second, rest = divmod(int(moment * 1_000_000), 1_000_000)
    return b"%s.%06dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode(), rest)


def parse_since(text: str, *, now: float | None = None) -> bytes:
    """Return the time that `--since` means, as the log files have it."""
    return stamp(moment_of(text, now=now))


def moment_of(text: str, *, now: float | None = None) -> float:
    """Return the time that `--since` means: `10m` ago, `14:05` of the last 24 hours, or ISO 8601.

    Times without a zone are local.  Raises UsageError.
    """
    from datetime import datetime

    moment = time.time() if now is None else now
    words = text.strip()
    ago = _AGO.fullmatch(words)
    try:
        if ago is not None:
            return max(0.0, moment - float(ago[1]) * _UNITS[ago[2]])
        if _CLOCK.fullmatch(words):
            today = time.strftime("%Y-%m-%d", time.localtime(moment))
            when = (
                datetime.fromisoformat(f"{today}T{words if words[2] == ':' else '0' + words}").astimezone().timestamp()
            )
            return when if when <= moment else when - _DAY
        return max(0.0, datetime.fromisoformat(words).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"`--since {text}` is no time", hint="`--since 10m`, `--since 14:05` or `--since 2026-07-29T14:05`"
        ) from None


class LocalTime:
    """Shows records' times as a clock of this place does; made for many of the same second."""

    def __init__(self) -> None:
        self._second = b""
        self._shown = b""

    def show(self, time_of_record: bytes) -> bytes:
        """Return `HH:MM:SS `, or nothing where a record has no time."""
        second = time_of_record[:_SECONDS]
        if second != self._second:
            self._second = second
            self._shown = _clock(second)
        return self._shown


def _clock(second: bytes) -> bytes:
    from calendar import timegm

    try:
        parsed = time.strptime(second.decode(), "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return b""
    return time.strftime("%H:%M:%S ", time.localtime(timegm(parsed))).encode()
