"""What `ready.http` asks for: a path on the service's own port, or an http URL on this machine."""

from __future__ import annotations

from typing import NamedTuple

from devrun.errors import ConfigError
from devrun.ports.arithmetic import HIGHEST

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"})  # noqa: S104 - read, not bound
_DIGITS = len(str(HIGHEST))


class HttpTarget(NamedTuple):
    """What to ask for.  `path` is percent-encoded and starts with a slash."""

    port: int
    path: str

    def __str__(self) -> str:
        return f"http://localhost:{self.port}{self.path}"


def parse_target(target: str, port: int | None) -> HttpTarget:
    """Read `ready.http`: a path on the service's own `port`, or a URL on this machine.

    Raises ConfigError for what cannot be probed: https, another machine, a path without a port.
    """
    if "://" not in target:
        if port is None:
            raise ConfigError(
                f"`{target}` needs a port to ask", hint="give the service a `port`, or write the whole URL"
            )
        return HttpTarget(port, _encoded(target))
    scheme, _, rest = target.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    host, colon, number = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    host, number = (host, number) if colon else (host or authority, number if host else "")
    if scheme.lower() != "http":
        raise ConfigError(f"`{target}` cannot be probed: only http is", hint="`ready: {command: …}` can run curl")
    if host.lower() not in _LOCAL and not host.lower().endswith(".localhost"):
        raise ConfigError(f"`{target}` is not on this machine", hint="readiness is asked of `localhost`")
    if colon and not (number.isascii() and number.isdigit() and len(number) <= _DIGITS and 0 < int(number) <= HIGHEST):
        raise ConfigError(f"`{target}` has no valid port")
    return HttpTarget(int(number) if colon else 80, _encoded(path))


def _encoded(path: str) -> str:
    """Return `path` fit for a request line: no fragment, no blanks, no control characters."""
    path = path.partition("#")[0]
    path = path if path.startswith("/") else f"/{path}"
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in path.encode())  # noqa: PLR2004
