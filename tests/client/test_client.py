"""The tasks against a real gateway, with the official client below them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal

import openai
import pytest
from tests.gateway.conftest import JSON, Bench, Running, completion, plain, route

from baseload.client import AsyncBaseload, BadAnswer, Baseload, Result
from baseload.errors import BadInput
from baseload.gateway.http import Exchange, Request, serve
from baseload.gateway.simulated import Simulated, api_pace
from baseload.load.facts import Bucket
from baseload.usage import Usage

ABLE = frozenset({"json_schema"})


@dataclass
class Parcel:
    city: str
    days: int


def saying(text: str | None, finish: str = "stop"):
    """An upstream that answers every request with a text."""

    async def script(_: Request, exchange: Exchange) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        await exchange.respond(200, JSON, completion(choices=[choice]))

    return script


async def gateway_that_says(bench: Bench, text: str | None, finish: str = "stop") -> Running:
    up = await bench.upstream(saying(text, finish))
    bench.last = up
    return await bench.gateway(up.url, routes=(route(0, capabilities=ABLE),))


def client(gateway: Running, **more: object) -> AsyncBaseload:
    made = AsyncBaseload(gateway.url, "none-needed", max_retries=0, **more)
    gateway.bench.stack.push_async_callback(made.close)
    return made


class TestResults:
    async def test_a_label_with_what_it_cost(self, bench: Bench) -> None:
        gateway = await gateway_that_says(bench, '{"label":"order"}')
        found = await client(gateway).classify("Where is my parcel?", ["order", "complaint"])
        assert isinstance(found, Result)
        assert (found.value, found.text) == ("order", '{"label":"order"}')
        assert found.usage == Usage(input_tokens=36, cache_read_tokens=64, output_tokens=15, reasoning_tokens=5)
        # 36 at 1 USD, 64 cached at 0.10 and 20 written at 5 per million.
        assert found.cost_usd == Decimal("0.0001424")
        (call,) = bench.spool.calls
        assert (found.model, found.upstream, found.route) == ("real", "u0", "r0")
        assert found.decision_id == call.decision.id
        assert found.raw.usage.total_tokens == 120
        assert call.facts.bucket is Bucket.BANDWIDTH
        assert call.facts.tags == {"task": "classify"}

    async def test_an_extraction_is_what_was_asked_for(self, bench: Bench) -> None:
        gateway = await gateway_that_says(bench, '{"city":"Bern","days":2}')
        found = await client(gateway).extract("Arrives in Bern in two days", Parcel)
        assert found.value == Parcel("Bern", 2)
        sent = bench.last.bodies[0]["response_format"]["json_schema"]
        assert (sent["name"], sent["strict"], sent["schema"]["required"]) == ("Parcel", True, ["city", "days"])

    async def test_texts(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        asking = client(gateway, tags={"team": "shop"})
        results = [
            await asking.summarize("long", words=20, instructions="In French."),
            await asking.analyze("doc", "why?", tags={"feature": "x"}, max_tokens=9),
            await asking.generate("a poem", bucket="judgment", more={"temperature": 0.2}),
        ]
        assert [result.value for result in results] == ["hello there"] * 3
        buckets = [call.facts.bucket for call in bench.spool.calls]
        assert buckets == [Bucket.JUDGMENT, Bucket.JUDGMENT, Bucket.JUDGMENT]
        assert bench.spool.calls[1].facts.tags == {"task": "analyze", "team": "shop", "feature": "x"}
        first, second, third = up.bodies
        assert first["messages"][0]["content"].endswith(
            "at most 20 words. Keep its language; add nothing.\n\nIn French."
        )
        assert second["max_completion_tokens"] == 9
        assert (third["temperature"], [each["role"] for each in third["messages"]]) == (0.2, ["user"])

    async def test_a_price_that_nobody_knows_is_none(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, routes=(route(0, offer="no/price"),))
        assert (await client(gateway).generate("hi")).cost_usd is None


class TestBuckets:
    @pytest.mark.parametrize(
        ("options", "model", "bucket"),
        [
            ({}, "auto", Bucket.FLAGSHIP),
            ({"bucket": Bucket.BANDWIDTH}, "auto", Bucket.BANDWIDTH),
            ({"bucket": "trivial"}, "auto", Bucket.BANDWIDTH),
            ({"model": "cheap"}, "cheap", Bucket.BANDWIDTH),
            ({"model": "cheap", "bucket": "flagship"}, "cheap", Bucket.FLAGSHIP),
        ],
    )
    async def test_a_task_stands_for_a_bucket_unless_another_is_named(
        self, bench: Bench, options: dict, model: str, bucket: Bucket
    ) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, aliases={"auto": Bucket.JUDGMENT, "cheap": Bucket.BANDWIDTH})
        await client(gateway).generate("hi", **options)
        (call,) = bench.spool.calls
        assert (call.facts.model, call.facts.bucket) == (model, bucket)

    async def test_where_data_must_stay(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, routes=(route(0, residency="eu"),))
        await client(gateway).generate("hi", residency="eu")
        with pytest.raises(openai.BadRequestError, match="data must stay in mars"):
            await client(gateway).generate("hi", residency="mars")


class TestBadAnswers:
    @pytest.mark.parametrize(
        ("text", "finish", "says"),
        [
            ('{"label":"parcel"}', "stop", "'parcel' is none of the labels"),
            ("order", "stop", "malformed"),
            ('{"label":"or', "length", "it was cut at its limit of tokens"),
            ("", "stop", "wrote nothing: stop"),
            (None, "content_filter", "wrote nothing: content_filter"),
        ],
    )
    async def test_an_answer_that_does_not_fit_keeps_its_cost(
        self, bench: Bench, text: str | None, finish: str, says: str
    ) -> None:
        gateway = await gateway_that_says(bench, text, finish)
        with pytest.raises(BadAnswer, match=r"real did not classify as asked") as caught:
            await client(gateway).classify("Where is my parcel?", ["order", "complaint"])
        assert says in caught.value.message
        assert caught.value.result.cost_usd == Decimal("0.0001424")
        assert caught.value.remedy

    @pytest.mark.parametrize("labels", [[], ["one"], {"one": "x"}])
    async def test_one_label_is_no_choice(self, labels) -> None:
        with Baseload() as asking, pytest.raises(BadInput, match="labels to choose from"):
            asking.classify("x", labels)

    async def test_a_refused_request_raises_what_the_official_client_raises(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        with pytest.raises(openai.NotFoundError):
            await client(gateway).generate("hi", model="no-such-model")
        with pytest.raises(openai.BadRequestError, match="lacks json_schema"):
            await client(gateway).classify("x", ["a", "b"])


async def test_the_client_without_await_does_the_same(bench: Bench) -> None:
    gateway = await gateway_that_says(bench, '{"label":"order"}')

    def work() -> Result[str]:
        with Baseload(gateway.url, max_retries=0) as asking:
            return asking.classify("Where is my parcel?", {"order": "about a delivery", "complaint": "unhappy"})

    found = await asyncio.to_thread(work)
    assert (found.value, found.cost_usd) == ("order", Decimal("0.0001424"))
    assert "- order: about a delivery" in bench.last.bodies[0]["messages"][0]["content"]


async def test_every_task_through_the_simulated_upstream(bench: Bench) -> None:
    simulated = Simulated("real", api_pace(0.0, 1e6))
    server = await serve(simulated.handle, "127.0.0.1", 0)
    bench.stack.push_async_callback(server.drain, 0.05)
    url = f"http://127.0.0.1:{server.address[1]}/v1"
    asking = client(await bench.gateway(url, routes=(route(0, capabilities=ABLE),)))
    label = await asking.classify("Where is my parcel?", ["order", "complaint"])
    assert label.value in ("order", "complaint")
    parcel = await asking.extract("Arrives in Bern in two days", Parcel)
    assert isinstance(parcel.value, Parcel)
    texts = [await asking.summarize("a b c"), await asking.analyze("a", "b"), await asking.generate("a b")]
    for result in (label, parcel, *texts):
        assert result.usage.prompt_tokens > 0
        assert result.cost_usd > 0
    assert simulated.count.requests == len(bench.spool.calls) == 5


async def test_the_place_and_the_key_come_from_the_environment(bench: Bench, monkeypatch) -> None:
    up = await bench.upstream(plain)
    gateway = await bench.gateway(up.url)
    monkeypatch.setenv("BASELOAD_BASE_URL", gateway.url + "/")
    monkeypatch.setenv("BASELOAD_API_KEY", "bl-from-env")
    asking = AsyncBaseload()
    bench.stack.push_async_callback(asking.close)
    assert asking.openai.api_key == "bl-from-env"
    assert (await asking.generate("hi")).value == "hello there"


def test_importing_it_loads_neither_openai_nor_http():
    script = "import sys, baseload.client; print(*(set(sys.modules) & {'openai', 'httpx', 'pydantic', 'ssl'}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
