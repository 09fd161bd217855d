"""`devrun schema [KIND]`: the JSON schema of services.yaml, for editors, or of what `--json` prints, for programs."""

from __future__ import annotations

import msgspec

from devrun.config.schema import services_schema
from devrun.errors import UsageError
from devrun.report.console import Output


def run(output: Output, *, kind: str | None) -> int:
    """Print the schema of services.yaml, or of the answers of `kind`."""
    schema = services_schema() if kind is None else _answers(kind)
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    output.answer("schema", schema, [text], verbatim=True)
    return 0


def _answers(kind: str) -> dict[str, object]:
    from devrun.report.schemas import KINDS, answer_schema

    if kind not in KINDS:
        known = ", ".join(f"`{each}`" for each in KINDS)
        raise UsageError(f"there is no JSON of kind `{kind}`", hint=f"known are {known}")
    return answer_schema(kind)
