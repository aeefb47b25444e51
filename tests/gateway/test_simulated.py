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
