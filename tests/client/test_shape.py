"""What is asked of a model for a shape, and what is made of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import msgspec
import pydantic
import pytest

from baseload.client.shape import choice_of, shape_of
from baseload.errors import BadInput


@dataclass
class Line:
    what: str
    count: int


@dataclass
class Invoice:
    number: str
    lines: list[Line]
    total: float | None


class Tree(msgspec.Struct):
    name: str
    under: list[Tree]


class Loose(msgspec.Struct):
    name: str
    note: str = ""


class Typed(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    name: str


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("wanted", "text", "value", "strict"),
    [
        (
            Invoice,
            '{"number":"7","lines":[{"what":"tea","count":2}],"total":null}',
            Invoice("7", [Line("tea", 2)], None),
            True,
        ),
        (Tree, '{"name":"a","under":[{"name":"b","under":[]}]}', Tree("a", [Tree("b", [])]), True),
        (Loose, '{"name":"a"}', Loose("a"), False),
        (Typed, '{"name":"a"}', {"name": "a"}, True),
        (Model, '{"name":"a"}', Model(name="a"), True),
        (SCHEMA, '{"a":1}', {"a": 1}, True),
        ({"type": "object"}, '{"x":[]}', {"x": []}, False),
    ],
)
def test_a_shape_asks_for_an_object_and_reads_it(wanted, text, value, strict):
    shape = shape_of(wanted)
    asked = shape.response_format["json_schema"]
    assert asked["schema"]["type"] == "object"
    assert asked["strict"] is strict
    assert shape.read(text) == value


def test_a_schema_repeats_nothing_but_what_refers_to_itself():
    assert set(shape_of(Invoice).schema["$defs"]) == {"Line"}
    assert set(shape_of(Tree).schema["$defs"]) == {"Tree"}
    assert "$defs" not in shape_of(Loose).schema


@pytest.mark.parametrize("wanted", [Invoice, Model, Typed, Tree, {"type": "object"}])
@pytest.mark.parametrize("text", ["", "no JSON", "[]", '"x"', "null", '{"number":7}'])
def test_what_does_not_fit_is_a_value_error(wanted, text):
    if isinstance(wanted, dict) and text.startswith("{"):
        return
    with pytest.raises(ValueError, match=r".+"):
        shape_of(wanted).read(text)


@pytest.mark.parametrize("wanted", [int, list[str], complex, 7])
def test_what_is_no_object_is_refused(wanted):
    with pytest.raises(BadInput):
        shape_of(wanted)


def test_a_choice_is_one_of_its_labels():
    shape = choice_of({"a": "", "b": ""})
    assert shape.read('{"label":"b"}') == "b"
    for wrong in ('{"label":"c"}', "{}", '{"label":null}', '{"label":["a"]}', "b"):
        with pytest.raises(ValueError, match=r".+"):
            shape.read(wrong)
