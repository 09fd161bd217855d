"""`devrun schema`: the JSON schema of services.yaml, for editors."""

from __future__ import annotations

import msgspec

from devrun.config.schema import services_schema
from devrun.report.console import Output


def run(output: Output) -> int:
    """Print the schema."""
    schema = services_schema()
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    output.answer("schema", schema, [text])
    return 0
