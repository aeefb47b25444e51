"""The configuration as JSON Schema, draft 7, which is what editors of YAML know. No I/O.

msgspec writes the 2020-12 dialect of exactly what it will accept from JSON. A configuration is YAML, where a price may
be written as a number, and any value but a key may be `${NAME}` from the environment.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from baseload.settings import Settings

DRAFT = "http://json-schema.org/draft-07/schema#"
FILE = "settings.schema.json"
"""The name under which it ships, beside `settings.py`."""
_FROM_ENVIRONMENT = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
_PREFIX = "#/$defs/"


def schema() -> dict[str, object]:
    """What a configuration may hold."""
    made = msgspec.json.schema(Settings)
    definitions = {name: _older(each) for name, each in made["$defs"].items()}
    top: dict[str, object] = definitions.pop("Settings")
    return {"$schema": DRAFT, **top, "title": "Baseload configuration", "definitions": definitions}


def modeline(path: str) -> str:
    """The first line of a configuration, by which an editor finds a schema.

    >>> modeline(".baseload/schema.json")
    '# yaml-language-server: $schema=.baseload/schema.json'
    """
    return f"# yaml-language-server: $schema={path}"


def _older(shape: dict[str, Any]) -> dict[str, Any]:
    """The same in draft 7."""
    found: dict[str, Any] = {name: _value(name, each) for name, each in shape.items()}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    if "$ref" in found:
        target = {"$ref": found.pop("$ref").replace(_PREFIX, "#/definitions/")}
        return {"allOf": [target], **found} if found else target  # beside a $ref, draft 7 looks at nothing
    if found.get("format") == "decimal":
        return {**{name: each for name, each in found.items() if name != "format"}, "type": ["string", "number"]}
    return _or_from_environment(found)


def _value(name: str, value: object) -> object:
    """What stands under one name of a shape: other shapes, or values, which are left alone."""
    if name == "properties" and isinstance(value, dict):
        return {each: _older(shape) for each, shape in value.items()}
    if name in ("anyOf", "prefixItems") and isinstance(value, list):
        return [_older(each) for each in value]
    if name in ("items", "additionalProperties", "propertyNames") and isinstance(value, dict):
        return _older(value)
    return inspect.cleandoc(value) if name == "description" and isinstance(value, str) else value


def _or_from_environment(found: dict[str, Any]) -> dict[str, Any]:
    """A number, a yes or no, or one of a few words may come from the environment, as text."""
    plain = found.get("type") in ("integer", "number", "boolean") or ("enum" in found and "title" not in found)
    if not plain:
        return found
    default = {"default": found.pop("default")} if "default" in found else {}
    return {"anyOf": [found, _FROM_ENVIRONMENT], **default}
