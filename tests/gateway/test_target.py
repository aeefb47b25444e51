"""Upstreams that fail in every way that is known of, through a real gateway: who is asked next, and who is left out."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import httpx2 as httpx
import msgspec
import pytest
from openai import APIStatusError, AsyncOpenAI
from tests.gateway.conftest import JSON, Bench, Running, Script, completion, plain, question, route, status

from baseload.gateway import connection
from baseload.gateway.http import Exchange, Request
from baseload.gateway.job import Job
from baseload.gateway.slots import Slots, Table
from baseload.load.calls import Evidence, Status
from baseload.policy.decide import FULL
from baseload.upstreams import Circuit, Key, Pool, Retries, Timeouts

MESSAGES = [{"role": "user", "content": "What is a base load?"}]
QUICK = Timeouts(connect=0.3, first_byte=0.2, idle=0.2)


async def ask(client: AsyncOpenAI, times: int = 1, **more: object) -> None:
    for _ in range(times):
        await client.chat.completions.create(**{"model": "auto", "messages": MESSAGES, **more})


async def code_of(running: Running, headers: dict[str, str] | None = None) -> int:
    async with httpx.AsyncClient(timeout=10) as client:
        body = {"model": "auto", "messages": MESSAGES}
        found = await client.post(f"{running.url}/v1/chat/completions", json=body, headers=headers)
    return int(found.status_code)


async def line_of(running: Running, length: int) -> None:
    """Wait until so many stand in the line."""
    async with asyncio.timeout(5):
        while running.gateway._state.lines.length("u0") != length:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def hung(_: Request, __: Exchange) -> None:
    await asyncio.Event().wait()


async def slow(_: Request, exchange: Exchange) -> None:
    await asyncio.sleep(0.15)
    await exchange.respond(200, JSON, completion())


def in_turn(*scripts: Script) -> Script:
    """The first script for the first request, and so on; the last for all the others."""
    left = list(scripts)

    async def script(request: Request, exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, exchange)

    return script


def by_key(**answers: Script) -> Script:
    """What each key gets."""

    async def script(request: Request, exchange: Exchange) -> None:
        sent = (request.header(b"authorization") or b"").removeprefix(b"Bearer ").decode()
        await answers[sent](request, exchange)

    return script


def keys(*names: str) -> dict[str, object]:
    return {"api_key": "", "api_keys": tuple(Key(key=name) for name in names)}


class TestOneUpstreamFails:
    async def test_a_storm_of_404s_by_one_client_leaves_nobody_out(self, bench: Bench) -> None:
        async def picky(request: Request, exchange: Exchange) -> None:
            wrong = b'"logit_bias"' in request.body
            await (status(404) if wrong else plain)(request, exchange)

        first, spare = await bench.upstream(picky), await bench.upstream()
        gateway = await bench.gateway(first.url, spare.url)
        for _ in range(20):
            with pytest.raises(APIStatusError) as caught:
                await ask(gateway.client(), logit_bias={"1": 1})
            assert caught.value.status_code == 404
        await ask(gateway.client(), 3)
        assert (len(first.seen), len(spare.seen)) == (23, 0)

    async def test_a_429_rests_the_upstream_as_long_as_it_says_and_no_longer(self, bench: Bench) -> None:
        busy, spare = await bench.upstream(status(429, headers=((b"retry-after", b"0.3"),))), await bench.upstream()
        gateway = await bench.gateway(busy.url, spare.url)
        await ask(gateway.client(), 3)
        assert (len(busy.seen), len(spare.seen)) == (1, 3)
        await asyncio.sleep(0.31)
        await ask(gateway.client())
        assert (len(busy.seen), len(spare.seen)) == (2, 4)

    async def test_a_429_that_says_nothing_rests_nobody(self, bench: Bench) -> None:
        busy, spare = await bench.upstream(status(429)), await bench.upstream()
        gateway = await bench.gateway(busy.url, spare.url)
        await ask(gateway.client(), 3)
        assert (len(busy.seen), len(spare.seen)) == (3, 3)

    async def test_one_that_hangs_is_left_out_after_a_few_and_tried_again_by_one(self, bench: Bench) -> None:
        first, spare = await bench.upstream(hung), await bench.upstream()
        circuit = {"circuit": Circuit(failures=2, open_seconds=0.5)}
        gateway = await bench.gateway(first.url, spare.url, timeouts=QUICK, upstream=circuit)
        await ask(gateway.client(), 4)
        assert (len(first.seen), len(spare.seen)) == (2, 4)
        await asyncio.sleep(0.5)
        await asyncio.gather(*(ask(gateway.client()) for _ in range(4)))
        assert (len(first.seen), len(spare.seen)) == (3, 8), "one request finds out, the others need not wait"

    async def test_one_that_flaps_is_left_out_and_no_client_sees_it(self, bench: Bench) -> None:
        calls = iter(range(1_000))

        async def flapping(request: Request, exchange: Exchange) -> None:
            await (status(500) if next(calls) % 2 else plain)(request, exchange)

        first, spare = await bench.upstream(flapping), await bench.upstream()
        gateway = await bench.gateway(first.url, spare.url)
        await ask(gateway.client(), 20)
        assert len(first.seen) == 6, "three failures, and half of all"
        assert {call.status for call in bench.spool.calls} == {Status.OK}

    async def test_one_whose_name_is_unknown_is_passed_over(self, bench: Bench) -> None:
        spare = await bench.upstream()
        gateway = await bench.gateway("http://a..b/v1", spare.url)
        await ask(gateway.client(), 4)
        assert [len(call.attempts) for call in bench.spool.calls] == [2, 2, 2, 1]
        assert "no connection to a..b" in bench.spool.calls[0].attempts[0].error

    async def test_one_that_is_the_only_one_is_tried_all_the_same(self, bench: Bench) -> None:
        first = await bench.upstream(in_turn(*[status(500)] * 5, plain))
        gateway = await bench.gateway(first.url)
        assert [await code_of(gateway) for _ in range(6)] == [502] * 5 + [200]


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that nobody has signed, and a server's context with it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*new, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_verified_against_the_ca_file(
    bench: Bench, certified: tuple[Path, ssl.SSLContext], trusted: bool
) -> None:
    certificate, context = certified

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = completion()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    bench.stack.callback(server.close)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    spare = await bench.upstream()
    gateway = await bench.gateway(url, spare.url, upstream={"ca_file": str(certificate) if trusted else ""})
    await ask(gateway.client())
    (call,) = bench.spool.calls
    assert call.attempts[-1].upstream == ("u0" if trusted else "u1")
    if not trusted:
        assert "certificate verify failed" in call.attempts[0].error.lower()


class TestKeys:
    async def test_a_key_that_is_refused_rests_and_another_is_tried_at_once(self, bench: Bench) -> None:
        up = await bench.upstream(by_key(one=status(401, "invalid key one"), two=plain))
        gateway = await bench.gateway(up.url, upstream=keys("one", "two"))
        await ask(gateway.client(), 4)
        first, *others = bench.spool.calls
        assert [(each.http_status, each.upstream) for each in first.attempts] == [(401, "u0"), (200, "u0")]
        assert "one" not in first.attempts[0].error
        assert [len(call.attempts) for call in others] == [1, 1, 1]

    async def test_a_key_that_is_told_to_slow_down_rests_while_the_others_go_on(self, bench: Bench) -> None:
        slowed = status(429, headers=((b"retry-after", b"60"),))
        up = await bench.upstream(by_key(one=slowed, two=plain))
        gateway = await bench.gateway(up.url, upstream=keys("one", "two"))
        await ask(gateway.client(), 3)
        assert [len(call.attempts) for call in bench.spool.calls] == [2, 1, 1]

    async def test_when_every_key_is_slowed_the_next_route_is_taken(self, bench: Bench) -> None:
        slowed = status(429, headers=((b"retry-after", b"60"),))
        up, spare = await bench.upstream(by_key(one=slowed, two=slowed)), await bench.upstream()
        gateway = await bench.gateway(up.url, spare.url, upstream=keys("one", "two"))
        await ask(gateway.client(), 3)
        assert [len(call.attempts) for call in bench.spool.calls] == [3, 1, 1]
        assert len(up.seen) == 2

    async def test_keys_take_turns_by_weight(self, bench: Bench) -> None:
        up = await bench.upstream()
        weighted = {"api_key": "", "api_keys": (Key(key="one", weight=3), Key(key="two"))}
        gateway = await bench.gateway(up.url, upstream=weighted)
        await ask(gateway.client(), 8)
        sent = [request.header(b"authorization") for request in up.seen]
        assert (sent.count(b"Bearer one"), sent.count(b"Bearer two")) == (6, 2)

    async def test_headers_of_the_upstream_stand_before_the_clients(self, bench: Bench) -> None:
        up = await bench.upstream()
        more = {"headers": {"X-Team": "a", "User-Agent": "ours"}, "auth": "api-key"}
        gateway = await bench.gateway(up.url, upstream=more)
        await ask(gateway.client())
        (seen,) = up.seen
        assert [value for name, value in seen.headers if name == b"user-agent"] == [b"ours"]
        assert (seen.header(b"x-team"), seen.header(b"api-key")) == (b"a", b"key-0")
        assert seen.header(b"authorization") is None


class TestRetries:
    async def test_an_attempt_is_repeated_and_each_try_is_metered(self, bench: Bench) -> None:
        up, spare = await bench.upstream(in_turn(status(503), status(500), plain)), await bench.upstream()
        retries = {"retries": Retries(times=2, first_seconds=0.01)}
        gateway = await bench.gateway(up.url, spare.url, upstream=retries)
        await ask(gateway.client())
        (call,) = bench.spool.calls
        assert [each.http_status for each in call.attempts] == [503, 500, 200]
        assert [each.number for each in call.attempts] == [1, 2, 3]
        assert [each.cost_nanousd is None for each in call.attempts] == [True, True, False]
        assert len(spare.seen) == 0

    async def test_when_they_are_spent_the_next_route_is_taken(self, bench: Bench) -> None:
        up, spare = await bench.upstream(status(503)), await bench.upstream()
        gateway = await bench.gateway(up.url, spare.url, upstream={"retries": Retries(times=1, first_seconds=0.01)})
        await ask(gateway.client())
        assert (len(up.seen), len(spare.seen)) == (2, 1)

    async def test_a_retry_after_is_waited_for_and_one_that_is_too_long_is_not(self, bench: Bench) -> None:
        soon = await bench.upstream(in_turn(status(429, headers=((b"retry-after", b"0.2"),)), plain))
        retries = {"retries": Retries(times=1, first_seconds=0.01, most_seconds=1)}
        gateway = await bench.gateway(soon.url, upstream=retries)
        began = asyncio.get_running_loop().time()
        assert await code_of(gateway) == 200
        assert asyncio.get_running_loop().time() - began >= 0.2
        late = await bench.upstream(status(429, headers=((b"retry-after", b"30"),)))
        gateway = await bench.gateway(late.url, upstream=retries)
        assert await code_of(gateway) == 429
        assert len(late.seen) == 1

    async def test_a_refusal_and_a_stream_that_began_are_not_repeated(self, bench: Bench) -> None:
        up = await bench.upstream(status(422))
        gateway = await bench.gateway(up.url, upstream={"retries": Retries(times=3, first_seconds=0.01)})
        assert await code_of(gateway) == 422
        assert len(up.seen) == 1

    async def test_a_client_that_leaves_between_two_tries_is_written_down(self, bench: Bench) -> None:
        up = await bench.upstream(status(503))
        retries = {"retries": Retries(times=5, first_seconds=8)}
        gateway = await bench.gateway(up.url, upstream=retries)
        task = asyncio.create_task(ask(gateway.client()))
        await up.reached()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        (call,) = bench.spool.calls
        assert call.status is Status.CLIENT_GONE
        assert [each.http_status for each in call.attempts] == [503] * len(up.seen)


class TestDeadlines:
    async def test_an_attempt_ends_at_the_requests_deadline_and_blames_nobody(self, bench: Bench) -> None:
        up = await bench.upstream(in_turn(*[hung] * 4, plain))
        spare = await bench.upstream()
        gateway = await bench.gateway(up.url, spare.url)
        for _ in range(4):
            assert await code_of(gateway, {"x-baseload-deadline-seconds": "0.1"}) == 504
        assert {call.status for call in bench.spool.calls} == {Status.TIMEOUT}
        await ask(gateway.client())
        assert (len(up.seen), len(spare.seen)) == (5, 0)

    async def test_a_policy_has_a_deadline_for_those_who_name_none(self, bench: Bench) -> None:
        up = await bench.upstream(hung)
        gateway = await bench.gateway(up.url, policy={"deadline_seconds": 0.1})
        assert await code_of(gateway) == 504
        assert bench.spool.calls[0].facts.deadline_seconds == 0.1

    @pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e99"])
    async def test_a_deadline_that_is_none_is_refused(self, bench: Bench, text: str) -> None:
        gateway = await bench.gateway((await bench.upstream()).url)
        assert await code_of(gateway, {"x-baseload-deadline-seconds": text}) == 400

    async def test_what_comes_too_late_is_sent_to_nobody(self, bench: Bench) -> None:
        """Not even over a connection that stands open, where sending takes no time."""
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        await ask(gateway.client())
        assert await code_of(gateway, {"x-baseload-deadline-seconds": "1e-9"}) == 504
        await ask(gateway.client())
        assert len(up.seen) == 2
        late = bench.spool.calls[1]
        assert (late.status, late.cost_nanousd) == (Status.TIMEOUT, 0)
        assert "had passed before it was sent" in late.attempts[0].error

    async def test_no_retry_outlasts_the_deadline(self, bench: Bench) -> None:
        up = await bench.upstream(status(503, headers=((b"retry-after", b"5"),)))
        gateway = await bench.gateway(up.url, upstream={"retries": Retries(times=3)})
        assert await code_of(gateway, {"x-baseload-deadline-seconds": "1"}) == 502
        assert len(up.seen) == 1


class TestWaiting:
    async def test_a_request_waits_its_turn_at_the_own_pool(self, bench: Bench) -> None:
        own, api = await bench.upstream(slow), await bench.upstream()
        routes = (route(0, own=True, slots=1, wait_seconds=5), route(1))
        gateway = await bench.gateway(own.url, api.url, routes=routes)
        await asyncio.gather(*(ask(gateway.client()) for _ in range(3)))
        assert (len(own.seen), len(api.seen)) == (3, 0)

    async def test_without_a_wait_it_overflows(self, bench: Bench) -> None:
        own, api = await bench.upstream(slow), await bench.upstream()
        gateway = await bench.gateway(own.url, api.url, routes=(route(0, own=True, slots=1), route(1)))
        await asyncio.gather(*(ask(gateway.client()) for _ in range(3)))
        assert (len(own.seen), len(api.seen)) == (1, 2)

    async def test_a_line_that_is_too_long_overflows(self, bench: Bench) -> None:
        own, api = await bench.upstream(slow), await bench.upstream()
        routes = (route(0, own=True, slots=1, wait_seconds=0.42), route(1))
        gateway = await bench.gateway(own.url, api.url, routes=routes)
        await ask(
            gateway.client()
        )  # now it is known how long an answer takes: 0.15 s or a little more, so two may wait
        await asyncio.gather(*(ask(gateway.client()) for _ in range(6)))
        assert (len(own.seen), len(api.seen)) == (4, 3)
        reasons = {skip.reason for call in bench.spool.calls for skip in call.decision.skipped}
        assert any("a slot is expected in" in reason for reason in reasons)

    async def test_when_the_wait_was_in_vain_the_next_route_is_taken(self, bench: Bench) -> None:
        own, api = await bench.upstream(hung), await bench.upstream()
        routes = (route(0, own=True, slots=1, wait_seconds=0.1), route(1))
        gateway = await bench.gateway(own.url, api.url, routes=routes)
        stuck = asyncio.create_task(ask(gateway.client()))
        await own.reached()
        await ask(gateway.client())
        assert len(api.seen) == 1
        (call,) = bench.spool.calls
        assert [choice.route for choice in call.decision.routes] == ["r1"]
        assert [(skip.route, skip.reason[:5]) for skip in call.decision.skipped] == [("r0", FULL)], "it overflowed"
        stuck.cancel()

    async def test_a_client_that_leaves_the_line_is_written_down_and_its_place_is_free(self, bench: Bench) -> None:
        gate = asyncio.Event()

        async def held(request: Request, exchange: Exchange) -> None:
            await gate.wait()
            await plain(request, exchange)

        own = await bench.upstream(held)
        gateway = await bench.gateway(own.url, routes=(route(0, own=True, slots=1, wait_seconds=5),))
        first = asyncio.create_task(ask(gateway.client()))
        await own.reached()
        leaving = asyncio.create_task(ask(gateway.client()))
        await line_of(gateway, 1)
        staying = asyncio.create_task(ask(gateway.client()))
        await line_of(gateway, 2)
        leaving.cancel()
        await line_of(gateway, 1)
        gate.set()
        await asyncio.gather(first, staying)
        assert len(own.seen) == 2
        gone = [call for call in bench.spool.calls if call.status is Status.CLIENT_GONE]
        assert [call.attempts for call in gone] == [()]

    async def test_a_deadline_that_passes_in_the_line_is_said(self, bench: Bench) -> None:
        own = await bench.upstream(hung)
        gateway = await bench.gateway(own.url, routes=(route(0, own=True, slots=1, wait_seconds=5),))
        stuck = asyncio.create_task(ask(gateway.client()))
        await own.reached()
        assert await code_of(gateway, {"x-baseload-deadline-seconds": "0.1"}) == 504
        stuck.cancel()

    async def test_a_deadline_has_passed_when_its_timer_ends_however_it_was_rounded(self) -> None:
        now = asyncio.get_running_loop().time()
        (sooner, passed, later) = (
            Job(request=None, asked=None, snapshot=None, record=None, until=until).late
            for until in (now - 0.01, now + 1e-9, now + 5)
        )
        assert (sooner, passed, later) == (True, True, False)


class TestPools:
    async def pool(self, bench: Bench, *scripts: Script, settings: Pool | None = None, **more: object) -> tuple:
        replicas = [await bench.upstream(script) for script in scripts]
        changes = {"base_url": "", "replicas": tuple(each.url for each in replicas)}
        changes |= {"pool": settings or Pool(health_seconds=0), **more}
        api = await bench.upstream()
        gateway = await bench.gateway("http://unused/v1", api.url, upstream=changes)
        return gateway, replicas, api

    async def test_the_same_prompt_goes_to_the_same_replica(self, bench: Bench) -> None:
        gateway, replicas, _ = await self.pool(bench, plain, plain, plain)
        await ask(gateway.client(), 6)
        assert sorted(len(each.seen) for each in replicas) == [0, 0, 6]

    async def test_without_affinity_and_with_load_requests_spread(self, bench: Bench) -> None:
        gateway, replicas, _ = await self.pool(bench, slow, slow, settings=Pool(health_seconds=0, prefix_bytes=0))
        await asyncio.gather(*(ask(gateway.client()) for _ in range(8)))
        assert [len(each.seen) for each in replicas] == [4, 4]

    async def test_one_that_breaks_is_left_out_and_the_others_serve(self, bench: Bench) -> None:
        gateway, replicas, api = await self.pool(bench, plain, plain, retries=Retries(times=1, first_seconds=0.01))
        await ask(gateway.client())
        (favourite,) = [each for each in replicas if each.seen]
        await favourite.server.drain(0.01)
        await ask(gateway.client(), 3)
        (other,) = [each for each in replicas if each is not favourite]
        assert (len(other.seen), len(api.seen)) == (3, 0)

    async def test_slots_of_replicas_are_the_slots_of_the_pool(self, bench: Bench) -> None:
        gateway, replicas, api = await self.pool(bench, slow, slow, settings=Pool(health_seconds=0, replica_slots=1))
        await asyncio.gather(*(ask(gateway.client()) for _ in range(3)))
        assert [len(each.seen) for each in replicas] == [1, 1]
        assert len(api.seen) == 1

    async def test_a_replica_that_is_not_healthy_gets_nothing_until_it_is(self, bench: Bench) -> None:
        well = asyncio.Event()

        async def ailing(request: Request, exchange: Exchange) -> None:
            if request.path == "/health":
                await exchange.respond(200 if well.is_set() else 503, JSON, b"{}")
            else:
                await plain(request, exchange)

        async def healthy(request: Request, exchange: Exchange) -> None:
            if request.path == "/health":  # not every server knows it: the model list will do
                await exchange.respond(404, JSON, b"{}")
            elif request.path == "/v1/models":
                await exchange.respond(200, JSON, b"{}")
            else:
                await plain(request, exchange)

        settings = Pool(health_seconds=0.02, prefix_bytes=0)
        gateway, (sick, sound), _ = await self.pool(bench, ailing, healthy, settings=settings)
        await asyncio.sleep(0.1)
        await ask(gateway.client(), 4)
        assert _posts(sick) == 0
        assert _posts(sound) == 4
        well.set()
        await asyncio.sleep(0.1)
        await ask(gateway.client(), 4)
        assert _posts(sick) > 0

    async def test_a_pool_none_of_whose_replicas_is_well_is_left_to_the_next_route(self, bench: Bench) -> None:
        settings = Pool(health_seconds=0.02)
        gateway, replicas, api = await self.pool(bench, status(500), status(500), settings=settings)
        await asyncio.sleep(0.1)
        await ask(gateway.client(), 2)
        assert [_posts(each) for each in replicas] == [0, 0]
        assert len(api.seen) == 2

    async def test_a_replica_that_drains_ends_what_it_has_and_gets_no_more(self, bench: Bench) -> None:
        gateway, replicas, _ = await self.pool(bench, slow, slow)
        first = asyncio.create_task(ask(gateway.client()))
        await asyncio.sleep(0.05)
        (busy,) = [each for each in replicas if each.seen]
        target = gateway.gateway._state.targets.by_name["u0"]
        assert target.drain(busy.url)
        assert not target.drain("http://nowhere/v1")
        await ask(gateway.client(), 2)
        await first
        assert len(busy.seen) == 1
        assert target.drain(busy.url, on=False)
        await ask(gateway.client())
        assert len(busy.seen) == 2

    async def test_what_an_engine_says_of_itself_decides_too(self, bench: Bench) -> None:
        def engine(waiting: int) -> Script:
            async def script(request: Request, exchange: Exchange) -> None:
                if request.path == "/metrics":
                    page = f'vllm:num_requests_running{{m="x"}} 8\nvllm:num_requests_waiting{{m="x"}} {waiting}\n'
                    await exchange.respond(200, [(b"content-type", b"text/plain")], page.encode())
                else:
                    await plain(request, exchange)

            return script

        settings = Pool(health_seconds=0, metrics_seconds=0.02, prefix_bytes=0)
        gateway, (crowded, free), _ = await self.pool(bench, engine(40), engine(0), settings=settings)
        await asyncio.sleep(0.1)
        await ask(gateway.client(), 5)
        assert (_posts(crowded), _posts(free)) == (0, 5)
        assert gateway.gateway._state.targets.by_name["u0"].waiting == 40

    @pytest.mark.parametrize("kept", [False, True], ids=["a fresh connection", "a kept connection"])
    async def test_one_that_has_gone_answers_no_more_once_its_time_is_over(self, bench: Bench, kept: bool) -> None:
        async def script(request: Request, exchange: Exchange) -> None:
            if len(upstream.seen) > kept:
                await asyncio.sleep(30)
            await plain(request, exchange)

        upstream = await bench.upstream(script)
        gateway = await bench.gateway(upstream.url)
        targets = gateway.gateway._state.targets
        async with httpx.AsyncClient(timeout=5) as client:
            if kept:
                await client.post(f"{gateway.url}/v1/chat/completions", json=question())
            asking = asyncio.create_task(client.post(f"{gateway.url}/v1/chat/completions", json=question()))
            await upstream.reached(1 + kept)
            other = msgspec.structs.replace(targets.by_name["u0"].upstream, timeouts=Timeouts(idle=11.0))
            targets.swap({"u0": other}, 0.05)
            answer = await asking
        assert (answer.status_code, connection.GONE in answer.text) == (504, True)
        (attempt,) = bench.spool.calls[-1].attempts
        assert connection.GONE in attempt.error
        assert (attempt.status, attempt.evidence) == (Status.TIMEOUT, Evidence.ESTIMATED)  # it was working on it

    async def test_requests_under_way_outlive_a_change_of_the_upstreams(self, bench: Bench) -> None:
        gateway, replicas, _ = await self.pool(bench, slow, slow)
        running = asyncio.create_task(gateway.client().chat.completions.create(model="auto", messages=MESSAGES))
        await asyncio.sleep(0.05)
        state = gateway.gateway._state
        old = state.targets.by_name["u0"].upstream
        (idle,) = [each for each in replicas if not each.seen]
        left = msgspec.structs.replace(old, replicas=(idle.url,))
        kept = state.targets.by_name["u1"]
        state.targets.swap({"u0": left, "u1": kept.upstream}, grace_seconds=2)
        state.swap(state.snapshot.policy)
        assert state.targets.by_name["u1"] is kept
        await ask(gateway.client(), 2)
        assert (await running).choices[0].message.content == "hello there"
        assert len(idle.seen) == 2


class TestWorkers:
    """Two gateways that count in one table, as the workers on one port do."""

    async def pair(self, bench: Bench, folder: Path, own: str, api: str, wait_seconds: float) -> list[Running]:
        tables = [Slots(Table(folder)) for _ in range(2)]
        for each in tables:
            bench.stack.callback(each.close)
        routes = (route(0, own=True, slots=2, wait_seconds=wait_seconds), route(1))
        return [await bench.gateway(own, api, routes=routes, slots=each) for each in tables]

    @pytest.mark.parametrize(("wait_seconds", "carried"), [(0, 2), (5, 6)])
    async def test_the_slots_of_an_own_pool_hold_over_both(
        self, bench: Bench, tmp_path: Path, wait_seconds: float, carried: int
    ) -> None:
        busy: list[int] = [0]

        async def counting(request: Request, exchange: Exchange) -> None:
            busy.append(busy[-1] + 1)
            await asyncio.sleep(0.2)
            busy.append(busy[-1] - 1)
            await plain(request, exchange)

        own, api = await bench.upstream(counting), await bench.upstream()
        workers = await self.pair(bench, tmp_path, own.url, api.url, wait_seconds)
        clients = [each.client() for each in workers for _ in range(3)]
        await asyncio.gather(*(ask(client) for client in clients))
        assert max(busy) == 2
        assert (len(own.seen), len(api.seen)) == (carried, 6 - carried)


def _posts(upstream: object) -> int:
    return sum(request.method == "POST" for request in upstream.seen)
