"""A simulated upstream answers the official client like a provider and counts like one."""

import asyncio
from datetime import date

import openai
import pytest

from baseload.capacity.curve import Curve, Point
from baseload.capacity.deployment import Deployment
from baseload.catalog.entries import Precedence, Source
from baseload.gateway.http import serve
from baseload.gateway.simulated import Simulated, api_pace, pool_pace
from baseload.gateway.simulated_faults import Faults
from baseload.gateway.simulated_faults import read as faults_in
from baseload.gateway.simulated_schema import conforming


@pytest.fixture
async def upstream():
    simulated = Simulated("m", api_pace(0.0, 1e9), max_in_flight=2)
    server = await serve(simulated.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.address[1]}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield simulated, client
    server.close()


def ask(client: openai.AsyncOpenAI, **more: object):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one two three"}]},
    ]
    return client.chat.completions.create(**{"model": "m", "messages": messages, "max_tokens": 7, **more})


async def test_json_words_are_tokens(upstream):
    simulated, client = upstream
    answer = await ask(client)
    assert answer.choices[0].message.content == "word word word word word word word"
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 7)
    assert (simulated.count.requests, simulated.count.prompt_tokens, simulated.count.completion_tokens) == (1, 5, 7)


@pytest.mark.parametrize("include", [True, False])
async def test_streams_say_the_same_and_report_usage_only_when_asked(upstream, include):
    simulated, client = upstream
    chunks = [chunk async for chunk in await ask(client, stream=True, stream_options={"include_usage": include})]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text.split() == ["word"] * 7
    reported = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert reported == ([7] if include else [])
    assert simulated.count.completion_tokens == 7


@pytest.mark.parametrize(
    ("change", "status"),
    [({"model": "other"}, 404), ({"messages": "not a list"}, 400), ({"max_tokens": "many"}, 400)],
)
async def test_bad_requests_are_refused_and_not_counted(upstream, change, status):
    simulated, client = upstream
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(client, **change)
    assert refused.value.status_code == status
    assert simulated.count.requests == 0


async def test_a_full_pool_says_429():
    simulated = Simulated("m", api_pace(0.3, 1e9), max_in_flight=2)
    server = await serve(simulated.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.address[1]}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(5)), return_exceptions=True)
    server.close()
    assert sum(isinstance(answer, openai.RateLimitError) for answer in answers) == 3
    assert simulated.count.requests == 2


def test_a_pool_slows_down_as_its_curve_says():
    curve = Curve.through(Point(1, 33), Point(100, 620), 0.7)
    source = Source("t", Precedence.YOURS, date(2026, 1, 1), "t")
    pace = pool_pace(Deployment("d", "m", "x", "g", 8, "e", "q", curve, 100, 1024, 256, None, source.as_of, source))
    assert 1 / pace.step_seconds(1) == pytest.approx(33)
    assert 100 / pace.step_seconds(100) == pytest.approx(620)


@pytest.mark.parametrize(
    ("text", "number", "found"),
    [
        ("", 1, Faults()),
        ("429=7", 1, Faults(status=429, retry_after=7.0)),
        ("500@2", 2, Faults(status=500)),
        ("500@2", 3, Faults()),
        ("slow=0.5, cut=2", 1, Faults(slow_seconds=0.5, cut_after=2)),
        ("hang", 1, Faults(hang_after=0)),
        ("no-usage,garbage,error,reset", 1, Faults(no_usage=True, garbage=True, error=True, reset=True)),
    ],
)
def test_faults_are_named(text: str, number: int, found: Faults) -> None:
    assert faults_in(text, number) == found


@pytest.mark.parametrize("text", ["magic", "200", "999", "cut=x", "cut=-1", "x" * 100])
def test_a_fault_that_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|status of a refusal"):
        faults_in(text, 1)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "word"),
        ({"type": "string", "minLength": 6}, "wordxx"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 0}, 1),
        ({"type": ["null", "string"]}, None),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, 0),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "string"}},
                "required": ["a"],
                "$defs": {"A": {"type": "object", "properties": {"n": {"type": "null"}}, "required": ["n"]}},
            },
            {"a": {"n": None}},
        ),
    ],
)
def test_a_document_of_a_schema(schema: object, value: object) -> None:
    assert conforming(schema) == value


def test_a_schema_without_end_ends() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert list(conforming(schema)) == ["a"]


async def test_a_fault_by_the_models_name(upstream):
    simulated, client = upstream
    with pytest.raises(openai.RateLimitError) as limited:
        await ask(client, model="m+429=3")
    assert limited.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.BadRequestError, match="is no fault"):
        await ask(client, model="m+magic")
    assert (await ask(client, model="m+no-usage")).usage is None
    assert simulated.count.requests == 1
