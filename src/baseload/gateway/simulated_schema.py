"""The plainest value that conforms to a JSON schema: what a simulated model writes where structure is wanted. Pure."""

from __future__ import annotations

from collections.abc import Mapping

DEPTH = 20
"""A schema that refers to itself without end is answered with null from here on."""
TEXT = "word"


def conforming(schema: object, root: object = None, depth: int = 0) -> object:
    """A value of that schema: required fields alone, the first of alternatives, the least of numbers.

    >>> conforming({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 3}}})
    {'n': 3}
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return None
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if "$ref" in schema:
        return conforming(_referred(str(schema["$ref"]), root), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(name), list) and schema[name]:
            return conforming(schema[name][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, object], root: object, depth: int) -> object:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties, required = schema.get("properties"), schema.get("required")
        known = properties if isinstance(properties, Mapping) else {}
        names = required if isinstance(required, list) else []
        return {str(name): conforming(known.get(name), root, depth + 1) for name in names}
    if kind == "array":
        return [conforming(schema.get("items"), root, depth + 1)] * _whole(schema, "minItems")
    if kind == "string":
        return TEXT.ljust(_whole(schema, "minLength"), "x")
    if kind in ("integer", "number"):
        return _whole(schema, "minimum") or _whole(schema, "exclusiveMinimum") + ("exclusiveMinimum" in schema)
    return False if kind == "boolean" else None


def _whole(schema: Mapping[str, object], name: str) -> int:
    found = schema.get(name)
    return int(found) if isinstance(found, int | float) and abs(found) < 10_000 else 0


def _referred(path: str, root: object) -> object:
    """What `#/$defs/name` points at."""
    found = root
    for part in path.removeprefix("#").strip("/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) and part else found
    return found
