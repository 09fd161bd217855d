"""`devrun url SERVICE`: the address alone, for scripts and `open "$(devrun url web)"`."""

from __future__ import annotations

from devrun.ports.names import url_of
from devrun.report.console import Output
from devrun.workspace import find_port


def run(output: Output, *, service: str, file: str | None) -> int:
    """Print the URL of a service (`api`) or of one of its named ports (`api:metrics`)."""
    found = find_port(service, file=file, say=output.say)
    url = url_of(found.port)
    output.answer("url", {"service": found.service, "name": found.name or None, "url": url}, [url])
    return 0
