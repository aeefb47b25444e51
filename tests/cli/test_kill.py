"""Kill -9 of the gateway in the middle of traffic: every request that was answered is in the ledger, once."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import openai
import pytest

from baseload.child import Child
from baseload.cli.demo_gateway import Orders
from baseload.cli.scene import bundled_trace, read_scene
from baseload.documents import write_yaml
from baseload.gateway.simulation import simulate
from baseload.ledger.hot import open_store
from baseload.ledger.query import totals

SPEED = 600.0
ASKERS = 24


async def traffic(gateway: Child, answered: list[str], usage: Counter, *, kill_after: int) -> None:
    """Ask until the gateway is gone; note the decision of every answer that came whole."""
    url = gateway.ready["url"] + "/v1"

    async def ask(client: openai.AsyncOpenAI, number: int) -> None:
        while True:
            stream = number % 2 == 0
            response = await client.chat.completions.with_raw_response.create(
                model="auto",
                messages=[{"role": "user", "content": "word " * (number + 1)}],
                max_tokens=20 + number,
                stream=stream,
                **({"stream_options": {"include_usage": True}} if stream else {}),
            )
            if stream:
                told = [chunk.usage async for chunk in response.parse() if chunk.usage][-1]
            else:
                told = response.parse().usage
            answered.append(response.headers["x-baseload-decision-id"])
            usage.update(prompt=told.prompt_tokens, completion=told.completion_tokens)
            if len(answered) == kill_after:
                os.kill(gateway.pid, signal.SIGKILL)

    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        await asyncio.gather(*(ask(client, number) for number in range(ASKERS)), return_exceptions=True)


@pytest.mark.parametrize("after_answers", [40, 333])
async def test_every_answered_request_is_in_the_ledger_once(tmp_path: Path, after_answers: int):
    scene, config = read_scene(), tmp_path / "baseload.yaml"
    answered: list[str] = []
    usage: Counter = Counter()
    with simulate(scene.order(SPEED)) as upstreams:
        document = scene.settings(
            upstreams.ready, bundled_trace(), listen="127.0.0.1:0", data_dir=str(tmp_path), speed=SPEED
        )
        write_yaml(config, document)
        orders = Orders(config=str(config), run="")
        with Child("baseload.cli.demo_gateway", orders) as gateway:
            await traffic(gateway, answered, usage, kill_after=after_answers)
        assert len(answered) >= after_answers
        with Child("baseload.cli.demo_gateway", orders) as again:
            assert again.alive
    store = open_store(tmp_path, read_only=True)
    try:
        kept = Counter(call.id for call in store.calls())
        total = totals(store)
    finally:
        store.close()
    assert set(answered) <= set(kept)
    assert set(kept.values()) == {1}
    # What was metered and not answered is at most the requests that were on their way.
    assert len(kept) - len(answered) <= ASKERS
    assert total.usage.prompt_tokens >= usage["prompt"]
    assert total.usage.completion_tokens >= usage["completion"]
