"""The whole loop in one process: serve, meter, find what is cheaper, swap the policy, serve again, verify."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import openai

from baseload.audit.replay import replay
from baseload.audit.reprice import reprice
from baseload.documents import load_catalog
from baseload.gateway.http import serve
from baseload.gateway.server import Gateway
from baseload.gateway.simulated import Simulated, api_pace
from baseload.ledger.drain import Drain
from baseload.ledger.hot import open_store
from baseload.ledger.query import Filter, by, totals
from baseload.ledger.spool import Spool
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route, version
from baseload.settings import Settings, Upstream

DEAR, CHEAP = "gpt-5.5", "gpt-5-mini"
# Words in, words out, streamed: lengths that leave fractions of a nano-dollar nowhere to hide.
REQUESTS = [(3, 7, False), (1_155, 211, True), (999, 1, False), (17, 513, True), (4_083, 451, False), (64, 64, True)]


class FixedClock:
    """Prices depend on when: the loop is run at one moment of the books' time."""

    def time_ns(self) -> int:
        return int(datetime(2026, 11, 19, 18, 15, tzinfo=UTC).timestamp()) * 10**9


def policy(name: str, *models: str) -> Policy:
    routes = [
        Route(name=model, upstream=model, model=model, offer=f"openai/{model}", success={Bucket.JUDGMENT: 0.95})
        for model in models
    ]
    return Policy(name=name, routes=tuple(routes), aliases={"auto": Bucket.JUDGMENT})


async def ask(url: str, run: str) -> list[tuple[int, int]]:
    """Every request by the official client; returns the usage it was told."""
    told = []
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        for words, cap, stream in REQUESTS:
            body = {"model": "auto", "messages": [{"role": "user", "content": "word " * words}], "max_tokens": cap}
            headers = {"x-baseload-tag-run": run}
            if stream:
                chunks = await client.chat.completions.create(
                    **body, stream=True, stream_options={"include_usage": True}, extra_headers=headers
                )
                usage = [chunk.usage async for chunk in chunks if chunk.usage][-1]
            else:
                usage = (await client.chat.completions.create(**body, extra_headers=headers)).usage
            told.append((usage.prompt_tokens, usage.completion_tokens))
    return told


async def test_the_saving_that_was_promised_is_the_saving_that_was_metered(tmp_path: Path):
    catalog = load_catalog()
    offers = {f"openai/{model}": catalog.offer(f"openai/{model}") for model in (DEAR, CHEAP)}
    before, after = policy("before", DEAR), policy("after", DEAR, CHEAP)
    async with AsyncExitStack() as stack:
        simulated = {model: Simulated(model, api_pace(0.0, 1e6)) for model in (DEAR, CHEAP)}
        upstreams = []
        for model, each in simulated.items():
            server = await serve(each.handle, "127.0.0.1", 0)
            stack.callback(server.close)
            upstreams.append(Upstream(name=model, base_url=f"http://127.0.0.1:{server.address[1]}/v1"))
        settings = Settings(upstreams=tuple(upstreams), policy=before, listen="127.0.0.1:0", data_dir=str(tmp_path))
        store, spool = open_store(tmp_path), Spool(tmp_path)
        stack.callback(store.close)
        drain = Drain(tmp_path, store)
        drain.start()
        stack.callback(drain.stop)
        stack.callback(spool.close)
        gateway = Gateway(settings, offers, FixedClock(), spool)
        stack.push_async_callback(gateway.stop)
        host, port = await gateway.start()
        url = f"http://{host}:{port}/v1"

        # serve and meter
        told = await ask(url, "before")
        assert told == [(words, cap) for words, cap, _ in REQUESTS]
        assert await asyncio.to_thread(drain.settle, 10)
        first = list(store.calls(Filter(tags={"run": "before"})))
        assert sorted((call.usage.prompt_tokens, call.usage.completion_tokens) for call in first) == sorted(told)
        assert {call.decision.policy for call in first} == {version(before)}

        # find what is cheaper, on paper
        cheapest = min(reprice(first, offers.values()), key=lambda row: row.nanousd)
        assert cheapest.offer == f"openai/{CHEAP}"
        promised = replay(first, after, offers)
        spent_before = totals(store, Filter(tags={"run": "before"})).cost_nanousd
        assert promised.difference_nanousd == cheapest.nanousd - spent_before < 0

        # swap the policy in and serve again
        assert gateway.swap(after) == version(after)
        assert await ask(url, "after") == told
        assert await asyncio.to_thread(drain.settle, 10)

        # verify: promised on paper, metered in the ledger, counted by the upstreams
        spent_after = totals(store, Filter(tags={"run": "after"})).cost_nanousd
        assert spent_after - spent_before == promised.difference_nanousd
        assert [row.key for row in by(store, "model", Filter(tags={"run": "after"}))] == [CHEAP]
        for model, run in ((DEAR, "before"), (CHEAP, "after")):
            metered = totals(store, Filter(tags={"run": run})).usage
            counted = simulated[model].count
            assert (metered.prompt_tokens, metered.completion_tokens) == (
                counted.prompt_tokens,
                counted.completion_tokens,
            )
            assert counted.requests == len(REQUESTS)
