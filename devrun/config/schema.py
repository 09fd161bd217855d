"""The JSON schema of services.yaml, generated from the types of `config.shape`."""

from __future__ import annotations

from typing import Any

import msgspec

from devrun.config.checks import NAME_PATTERN
from devrun.config.shape import ServicesFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def services_schema() -> dict[str, Any]:
    """Return the schema: unknown keys are refused, `x-*` keys are free, as the loader has it."""
    schema = msgspec.json.schema(ServicesFile)
    for definition in schema["$defs"].values():
        if definition.get("additionalProperties") is False:
            definition["patternProperties"] = {"^x-": {}}
    top = schema["$defs"][ServicesFile.__name__]
    services = next(each for each in top["properties"]["services"]["anyOf"] if each.get("type") == "object")
    services["propertyNames"] = {"pattern": f"^{NAME_PATTERN}$"}
    return {"$schema": DIALECT, "title": "devrun services.yaml", **schema}
