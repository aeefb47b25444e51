"""The JSON Schema of a document, with exact figures as the numbers that it writes. Pure."""

from __future__ import annotations

from typing import Any

import msgspec


def json_schema(document: type[msgspec.Struct], name: str) -> dict[str, Any]:
    """The schema of a document type under the name that the document says itself, as in `baseload.outcome/1`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": name,
        "title": name,
        **_numbers(msgspec.json.schema(document)),
    }


def _numbers(schema: Any) -> Any:  # noqa: ANN401 a JSON Schema nests as it likes
    """msgspec describes a Decimal as text; the documents write it as a number."""
    if isinstance(schema, list):
        return [_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {"type": "number"} | {key: value for key, value in schema.items() if key not in ("type", "format")}
    return {key: _numbers(value) for key, value in schema.items()}
