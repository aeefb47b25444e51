"""What an extraction is to look like: a JSON schema for the model, and a reader of what it wrote. Does no I/O.

A shape is a dataclass, a msgspec.Struct, a TypedDict, a pydantic model, or a JSON schema as it is. What the model wrote
is checked against a class; of a plain JSON schema only that it is an object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from baseload.errors import BadInput

_REF = "#/$defs/"


@dataclass(frozen=True, slots=True)
class Shape:
    """A name, a schema, and what makes a value of a text. `read` raises ValueError with what is wrong."""

    name: str
    schema: dict[str, Any]
    read: Callable[[str], Any]

    @property
    def response_format(self) -> dict[str, Any]:
        """What asks a model for it. Strict where the schema allows that: every field is required."""
        asked = {"name": self.name, "schema": self.schema, "strict": _is_strict(self.schema)}
        return {"type": "json_schema", "json_schema": asked}


def shape_of(wanted: type[Any] | Mapping[str, Any]) -> Shape:
    """The shape of a class or a JSON schema. Raises BadInput for anything that has none."""
    if isinstance(wanted, Mapping):
        return Shape(_name(str(wanted.get("title") or "answer")), dict(wanted), _object)
    if hasattr(wanted, "model_json_schema"):  # a pydantic model, without importing pydantic
        return Shape(_name(wanted.__name__), _closed(wanted.model_json_schema()), wanted.model_validate_json)
    try:
        schema = msgspec.json.schema(wanted)
        decoder = msgspec.json.Decoder(wanted)
    except TypeError as error:
        remedy = "Give a dataclass, a msgspec.Struct, a TypedDict, a pydantic model or a JSON schema."
        raise BadInput(f"{wanted!r} has no shape that can be asked for: {error}", remedy=remedy) from error
    flat = _closed(_opened(schema))
    if flat.get("type") != "object":
        raise BadInput(f"{wanted!r} is no object", remedy="Put it into a field of a dataclass: models answer objects.")
    return Shape(_name(wanted.__name__), flat, decoder.decode)


def choice_of(labels: Mapping[str, str]) -> Shape:
    """One of several labels."""
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }

    def read(text: str) -> str:
        label = _object(text).get("label")
        if not isinstance(label, str) or label not in labels:
            raise ValueError(f"{label!r} is none of the labels")
        return label

    return Shape("label", schema, read)


def _opened(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose top is not a reference: models are asked for an object."""
    top = schema.get("$ref", "")
    if not top.startswith(_REF):
        return schema
    name = top.removeprefix(_REF)
    found = schema["$defs"][name]
    others = {each: inner for each, inner in schema["$defs"].items() if each != name}
    if _mentions((found, others), top):
        others[name] = found
    return {**found, "$defs": others} if others else dict(found)


def _mentions(value: object, reference: str) -> bool:
    if isinstance(value, Mapping):
        return any(_mentions(each, reference) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_mentions(each, reference) for each in value)
    return value == reference


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema none of whose objects with named fields takes others."""

    def close(value: object) -> object:
        if isinstance(value, list | tuple):
            return [close(each) for each in value]
        return _closed(value) if isinstance(value, Mapping) else value

    closed: dict[str, Any] = {name: close(each) for name, each in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _is_strict(schema: object) -> bool:
    """Whether every object in a schema requires all of its fields and takes no others."""
    if isinstance(schema, list | tuple):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        whole = set(schema.get("properties", ())) == set(schema.get("required", ()))
        if not whole or schema.get("additionalProperties") is not False:
            return False
    return all(_is_strict(each) for each in schema.values())


def _object(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def _name(name: str) -> str:
    """What a schema may be called.

    >>> _name("My Invoice!")
    'My_Invoice_'
    """
    return (
        "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in name)[:64] or "answer"
    )
