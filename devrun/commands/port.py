"""`devrun port SERVICE`: the number alone, for scripts."""

from __future__ import annotations

from devrun.report.console import Output
from devrun.workspace import find_port


def run(output: Output, *, service: str, file: str | None) -> int:
    """Print the port of a service (`api`) or one of its named ports (`api:metrics`)."""
    found = find_port(service, file=file, say=output.say)
    output.answer("port", {"service": found.service, "name": found.name or None, "port": found.port}, [str(found.port)])
    return 0
