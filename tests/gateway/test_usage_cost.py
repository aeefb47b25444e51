"""The cost of a call in the usage of its answer, for a client that asks for it, in every dialect."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.gateway.conftest import Bench

MESSAGES = [{"role": "user", "content": "one two three"}]
ALL = pytest.mark.parametrize("serves", ["everything", "chats", "Anthropic"])
# 3 tokens at 1 USD and 16 at 5 USD per million.
COST = Decimal("0.000083")
WISH = {"x-baseload-usage-cost": "true"}


@ALL
@pytest.mark.parametrize("how", ["body", "header"])
@pytest.mark.parametrize("stream", [False, True])
async def test_chats(bench: Bench, serves: str, how: str, stream: bool) -> None:
    _, gateway = await bench.before_simulated(serves)
    more = {"extra_body": {"usage": {"include": True}}} if how == "body" else {"extra_headers": WISH}
    answer = await gateway.client().chat.completions.create(
        model="auto", messages=MESSAGES, max_tokens=16, stream=stream, **more
    )
    usage = [event async for event in answer][-1].usage if stream else answer.usage
    assert (Decimal(str(usage.cost)), usage.completion_tokens) == (COST, 16)
    assert bench.spool.calls[0].cost_nanousd == 83_000


@ALL
@pytest.mark.parametrize("stream", [False, True])
async def test_responses(bench: Bench, serves: str, stream: bool) -> None:
    _, gateway = await bench.before_simulated(serves)
    answer = await gateway.client().responses.create(
        model="auto", input="one two three", max_output_tokens=16, stream=stream, extra_headers=WISH
    )
    usage = [event async for event in answer][-1].response.usage if stream else answer.usage
    assert (Decimal(str(usage.cost)), usage.output_tokens) == (COST, 16)


@ALL
@pytest.mark.parametrize("stream", [False, True])
async def test_messages(bench: Bench, serves: str, stream: bool) -> None:
    _, gateway = await bench.before_simulated(serves)
    answer = await gateway.claude().messages.create(
        model="auto", messages=MESSAGES, max_tokens=16, stream=stream, extra_headers=WISH
    )
    usage = [event async for event in answer if event.type == "message_delta"][-1].usage if stream else answer.usage
    assert (Decimal(str(usage.cost)), usage.output_tokens) == (COST, 16)


async def test_a_price_that_is_not_known_is_null(bench: Bench) -> None:
    _, gateway = await bench.before_simulated(changes={"offer": "nobody/real"})
    answer = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, extra_headers=WISH)
    assert answer.usage.cost is None
    assert "cost" in answer.usage.model_extra


@ALL
async def test_nobody_else_gets_it(bench: Bench, serves: str) -> None:
    _, gateway = await bench.before_simulated(serves)
    answer = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
    assert not answer.usage.model_extra
