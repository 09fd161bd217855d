"""The range of ports that this machine's kernel hands out to outgoing connections."""

from __future__ import annotations

import functools
import sys

_LINUX_FILE = "/proc/sys/net/ipv4/ip_local_port_range"  # ip(7), ip_local_port_range; IPv6 uses it too
_LINUX_DEFAULT = (32768, 60999)
_IANA = (49152, 65535)  # RFC 6335, section 6: what macOS and the BSDs use


@functools.cache
def ephemeral_range() -> tuple[int, int]:
    """Return first and last port of the range; the system's default when it cannot be read."""
    if sys.platform != "linux":
        return _by_sysctl() or _IANA
    try:
        with open(_LINUX_FILE, encoding="ascii") as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return _LINUX_DEFAULT
    return first, last


def _by_sysctl() -> tuple[int, int] | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    found: list[int] = []
    for end in ("first", "last"):
        value, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        name = f"net.inet.ip.portrange.{end}".encode()
        try:
            failed = libc.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
        except AttributeError:
            return None
        if failed:
            return None
        found.append(value.value)
    return found[0], found[1]
