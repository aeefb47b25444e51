"""What an upstream says of how it processed a request decides its price, in whole answers and in streams."""

from __future__ import annotations

import pytest
from tests.gateway.conftest import DONE, JSON, SSE, Bench, chunk, completion, usage

from baseload.gateway.http import Exchange, Request
from baseload.load.calls import Evidence

MESSAGES = [{"role": "user", "content": "What is a base load?"}]
# 36 tokens at 1 USD/Mtok, 64 at 0.10, 20 at 5; flex at half.
STANDARD_NANOUSD = 142_400
COUNTS = usage(100, 20, cached=64, reasoning=5)


def answering(**more: object):
    async def script(_: Request, exchange: Exchange) -> None:
        await exchange.respond(200, JSON, completion(**more))

    return script


def streaming(tier: str | None, *, cut: bool = False):
    async def script(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, SSE)
        await exchange.send(chunk("hello", service_tier=tier))
        if cut:
            exchange.abort()
            return
        await exchange.send(chunk(usage=COUNTS, service_tier=tier))
        await exchange.end(DONE)

    return script


@pytest.mark.parametrize(
    ("more", "tier", "nanousd"),
    [
        ({"service_tier": "default"}, "", STANDARD_NANOUSD),
        ({"service_tier": "flex"}, "flex", STANDARD_NANOUSD // 2),
        ({"usage": COUNTS | {"service_tier": "standard"}}, "", STANDARD_NANOUSD),
        ({"usage": COUNTS | {"service_tier": "flex"}}, "flex", STANDARD_NANOUSD // 2),
        ({"service_tier": "priority"}, "priority", None),
        ({"service_tier": "scale"}, "scale", None),
    ],
)
async def test_a_whole_answer_costs_what_its_tier_costs(
    bench: Bench, more: dict[str, object], tier: str, nanousd: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await bench.gateway((await bench.upstream(answering(**more))).url)
    for _ in range(2):
        answer = await gateway.client().chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES, service_tier="flex"
        )
    (attempt,) = bench.spool.calls[1].attempts
    assert (attempt.service_tier, attempt.cost_nanousd) == (tier, nanousd)
    assert (answer.headers["x-baseload-cost-usd"] == "unknown") == (nanousd is None)
    # What has no price is counted each time and said once, with the tier by its name.
    assert gateway.gateway.meter.unpriced == (2 if nanousd is None else 0)
    assert caplog.text.count("unpriced: ") == (1 if nanousd is None else 0)
    assert nanousd is not None or tier in caplog.text


@pytest.mark.parametrize(
    ("tier", "nanousd"),
    [(None, STANDARD_NANOUSD), ("default", STANDARD_NANOUSD), ("flex", STANDARD_NANOUSD // 2), ("scale", None)],
)
async def test_a_stream_costs_what_its_tier_costs(bench: Bench, tier: str | None, nanousd: int | None) -> None:
    gateway = await bench.gateway((await bench.upstream(streaming(tier))).url)
    stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    assert "".join([event.choices[0].delta.content or "" async for event in stream if event.choices]) == "hello"
    (attempt,) = bench.spool.calls[0].attempts
    assert attempt.service_tier == ("" if tier in (None, "default") else tier)
    assert attempt.cost_nanousd == nanousd


async def test_a_stream_that_is_cut_costs_what_was_delivered_in_its_tier(bench: Bench) -> None:
    gateway = await bench.gateway((await bench.upstream(streaming("flex", cut=True))).url)
    stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    with pytest.raises(Exception, match=r"."):  # the client's own error for a broken stream
        [event async for event in stream]
    (attempt,) = bench.spool.calls[0].attempts
    assert (attempt.evidence, attempt.service_tier) == (Evidence.ESTIMATED, "flex")
    assert attempt.cost_nanousd == attempt.usage.input_tokens * 500 + attempt.usage.output_tokens * 2_500
