"""Probes in turn: a pool that refuses, an endpoint that breaks, the word to stop; what was measured before stays."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from baseload.errors import BadInput, UpstreamUnreachable
from baseload.gateway.http import serve
from baseload.gateway.simulated import JSON_HEADERS, Pace, Simulated
from baseload.load.lengths import Lengths
from baseload.measure.asking import Asker, Dialect, Words
from baseload.measure.endpoint import Endpoint
from baseload.measure.running import ERRORS_BEFORE, Bounds
from baseload.measure.sweep import Probes, closed, opened, warm_up

LENGTHS = Lengths.spread(20, 10)
PROBES = Probes(LENGTHS, 16, 3.0)


@asynccontextmanager
async def asking(handle):
    server = await serve(handle, "127.0.0.1", 0)
    endpoint = Endpoint(f"http://127.0.0.1:{server.address[1]}/v1")
    yield Asker(endpoint, "m", Words(1), Dialect(), timeout=5)
    endpoint.close()
    server.close()


def pool(most=None, step=0.002):
    return Simulated("m", Pace(0.0, lambda in_flight: step * (1 + in_flight / 8)), max_in_flight=most)


def nothing(_level, _what):
    pass


async def test_a_pool_that_refuses_ends_it_and_the_loads_below_are_kept():
    bounds = Bounds()
    async with asking(pool(5).handle) as asker:
        found = await closed(asker, PROBES, bounds, asyncio.Event(), nothing)
    assert [each.in_flight for each in found.levels] == [1, 2, 4, 8]
    assert found.levels[-1].errors.keys() == {"429"}
    assert found.levels[-1].errors["429"] < 4  # the first one is the last word
    assert [each.in_flight for each in found.points] == [1, 2, 4]
    assert "8 in flight" in found.stopped
    assert "(429): 5 requests are in flight" in found.stopped
    assert found.long is None


async def test_what_the_endpoint_counts_is_what_was_used():
    simulated, bounds = pool(), Bounds()
    async with asking(simulated.handle) as asker:
        await warm_up(asker, bounds)
        found = await closed(asker, PROBES, bounds, asyncio.Event(), nothing)
    assert (found.stopped, found.long is None) == ("", False)
    assert bounds.used_requests == simulated.count.requests
    assert bounds.used_tokens == simulated.count.prompt_tokens + simulated.count.completion_tokens
    assert found.long.mean_input_tokens == pytest.approx(80, rel=0.1)


async def test_an_endpoint_that_breaks_is_left_alone_soon():
    """It breaks for good when a third request comes beside two others. Who asks it four at a time hears so at once, and
    no more than five refusals and what is in flight then are needed to know it, however slow this machine is."""
    simulated, inside, refusals = pool(), 0, 0

    async def breaks(request, exchange):
        nonlocal inside, refusals
        asks = request.path.endswith("/completions")
        if asks and (inside >= 2 or refusals):
            refusals += 1
            await exchange.respond(500, JSON_HEADERS, b'{"error":{"message":"out of memory"}}')
            return
        inside += asks
        try:
            await simulated.handle(request, exchange)
        finally:
            inside -= asks

    bounds = Bounds()
    async with asking(breaks) as asker:
        found = await closed(asker, PROBES, bounds, asyncio.Event(), nothing)
    assert "with 4 in flight" in found.stopped
    assert "(500): out of memory" in found.stopped
    assert [each.in_flight for each in found.points] == [1, 2]
    assert [each.errors for each in found.levels[:2]] == [{}, {}]
    assert bounds.used_requests == simulated.count.requests + refusals
    assert ERRORS_BEFORE <= refusals <= ERRORS_BEFORE + 4


async def test_the_word_to_stop_leaves_what_was_measured():
    stop, levels = asyncio.Event(), []

    def after_two(level, _what):
        levels.append(level)
        if len(levels) == 2:
            asyncio.get_running_loop().call_later(0.01, stop.set)

    async with asking(pool(step=0.004).handle) as asker:
        found = await closed(asker, PROBES, Bounds(), stop, after_two)
    assert found.stopped == "interrupted"
    assert [each.in_flight for each in found.levels][:2] == [1, 2]
    assert len(found.points) >= 2


async def test_an_open_loop_sends_on_whatever_is_answered():
    """An endpoint that serves five a second is sent twenty: what is in flight grows."""
    stuck = Simulated("m", Pace(0.0, lambda in_flight: 0.02 * in_flight))
    async with asking(stuck.handle) as asker:
        times = [each / 20 for each in range(40)]
        bounds, stop = Bounds(), asyncio.Event()
        found = await opened(asker, LENGTHS, times, bounds, stop, rate=20, seconds=1.0, most=512, seed=1)
    assert found.opened.requests == 20
    assert found.opened.mean_in_flight > 5


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [(401, BadInput, "--key-env"), (404, BadInput, "--model"), (500, UpstreamUnreachable, "Start the engine")],
)
async def test_an_endpoint_that_never_answers_says_why(status, error, says):
    async def refuses(_request, exchange):
        await exchange.respond(status, JSON_HEADERS, b'{"error":{"message":"because"}}')

    async with asking(refuses) as asker:
        with pytest.raises(error, match="because") as caught:
            await warm_up(asker, Bounds())
    assert says in caught.value.remedy
