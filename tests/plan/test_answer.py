from __future__ import annotations

import json
from datetime import UTC, date, datetime
from importlib import resources

import msgspec
import pytest

from baseload.documents import load_scenarios
from baseload.errors import BadInput
from baseload.plan.answer import Answer, answer, decide_schema
from baseload.plan.outcomes import answer_outcomes
from baseload.plan.scenario import Outlay

TODAY = date(2026, 11, 21)
SHIPPED = load_scenarios()
PUBLISHED = resources.files("baseload.plan") / "data" / "decide.schema.json"


def written(document: Answer) -> str:
    return msgspec.json.Encoder(decimal_format="number").encode(document).decode()


def breaks(schema: dict, value: object, root: dict, at: str = "$") -> list[str]:
    """Where a JSON value is not what a schema says: the part of JSON Schema that the published one uses."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        tried = [breaks(each, value, root, at) for each in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int}
    kind = schema.get("type")
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) if kind == "number" else kind is None or (
        isinstance(value, types[kind]) and not (kind == "integer" and isinstance(value, bool)))  # fmt: skip
    if not fits or ("enum" in schema and value not in schema["enum"]):
        return [f"{at}: {value!r} is not {schema.get('enum', kind)}"]
    if kind == "object":
        lost = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        known = schema.get("properties", {})
        strange = [f"{at}.{name} is unknown" for name in value if known and name not in known]
        inner = [found for name, each in value.items() if name in known
                 for found in breaks(known[name], each, root, f"{at}.{name}")]  # fmt: skip
        return lost + strange + inner
    if kind == "array":
        fixed = schema.get("prefixItems", [])
        rest = schema.get("items", {})
        shapes = [fixed[place] if place < len(fixed) else rest for place in range(len(value))]
        return [found for place, (shape, each) in enumerate(zip(shapes, value, strict=True)) if isinstance(shape, dict)
                for found in breaks(shape, each, root, f"{at}[{place}]")]  # fmt: skip
    return []


def test_the_published_schema_is_the_codes():
    """Stale: run `baseload decide --schema > src/baseload/plan/data/decide.schema.json`."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json.loads(msgspec.json.encode(decide_schema()))


@pytest.mark.parametrize("scenario", SHIPPED, ids=lambda each: each.name)
def test_every_answer_keeps_to_the_schema_and_can_be_read_back(scenario):
    asked = scenario.outcomes
    task = answer_outcomes(asked, None, datetime(2026, 11, 21, tzinfo=UTC)) if asked is not None else None
    found = answer(scenario, (), TODAY, task)
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert breaks(schema, json.loads(written(found)), schema) == []
    assert msgspec.json.decode(written(found), type=Answer) == found
    assert found.scenario is not None
    assert found.scenario.name == scenario.name
    assert found.chances is not None
    assert found.questions is not None
    assert (found.cash is not None) == (scenario.machine is not None)
    assert found.outcomes == task


def test_the_schema_check_can_fail():
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    document = json.loads(written(answer(SHIPPED[0], (), TODAY)))
    document["verdict"]["kind"] = "borrowed"
    document["volume"]["tokens"] = "30"
    del document["cash"]["months"]
    document["extra"] = 1
    found = " ".join(breaks(schema, document, schema))
    for place in ("$.verdict.kind", "$.volume.tokens", "$.cash", "$.extra"):
        assert place in found


def test_a_repetition_is_the_same_byte_for_byte():
    assert written(answer(SHIPPED[3], (), TODAY)) == written(answer(SHIPPED[3], (), TODAY))


@pytest.mark.parametrize("outlay", [Outlay(months=0), Outlay(months=-3), Outlay(setup="-5"), Outlay(setup="1-2"),
                                    Outlay(yearly_rate="x"), Outlay(months=100_000)])  # fmt: skip
def test_absurd_business_cases_are_refused(outlay):
    with pytest.raises(BadInput):
        answer(msgspec.structs.replace(SHIPPED[0], outlay=outlay), (), TODAY)
