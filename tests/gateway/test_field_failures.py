"""What users of other gateways complain of, each against this one over real sockets: wrong money, work that nobody
waits for, one client's requests that become everybody's trouble.

Where a complaint has its place in another file, it stands there: storms of 404s, 429s, hung and flapping upstreams, DNS
and certificates in `test_target.py`; shapes of usage and slow readers in `test_chat.py`; keys and regions in
`test_keys.py`; other names of the host in `test_server.py`; a reload under load and workers that die in
`test_supervisor.py`; kill -9 and a locked ledger in `tests/cli/test_kill.py` and `tests/ledger/test_drain.py`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx2 as httpx
import msgspec
import openai
import pytest
from tests.gateway.conftest import (
    JSON,
    SSE,
    Bench,
    Running,
    ask,
    chunk,
    completion,
    plain,
    question,
    route,
    status,
    usage,
)
from tests.gateway.test_keys import make

from baseload.gateway.http import Exchange, Request
from baseload.gateway.job import Job
from baseload.gateway.meter import Record, Try
from baseload.ledger.hot import open_store
from baseload.ledger.query import Filter
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Operation
from baseload.upstreams import Retries, Timeouts
from baseload.wire.passage import Dialect

MESSAGES = [{"role": "user", "content": "one two three"}]
RESPONSES_USAGE = {"input_tokens": 100, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 64}}
CLAUDES_USAGE = {"input_tokens": 36, "cache_read_input_tokens": 64, "output_tokens": 20}
EVERY_DIALECT = {
    "/v1/chat/completions": {"model": "auto", "messages": MESSAGES, "max_tokens": 400},
    "/v1/messages": {"model": "auto", "messages": MESSAGES, "max_tokens": 400},
    "/v1/responses": {"model": "auto", "input": "one two three", "max_output_tokens": 400},
}
OVER = pytest.mark.parametrize("serves", ["everything", "chats", "Anthropic"])
PATHS = pytest.mark.parametrize("path", EVERY_DIALECT)


async def post(gateway: Running, body: object, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with httpx.AsyncClient() as client:
        sent = {"content-type": "application/json", **headers}
        return await client.post(gateway.url + path, content=content, headers=sent)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 (what is waited for raises no event)
            await asyncio.sleep(0.005)


class TestMoney:
    @OVER
    @PATHS
    @pytest.mark.parametrize("who", ["the upstream", "the client"])
    async def test_a_stream_that_is_cut_costs_its_prompt_and_every_word_that_came(
        self, bench: Bench, serves: str, path: str, who: str
    ) -> None:
        """Not nothing, and not one token for hundreds of deltas."""
        fault = "cut=3" if who == "the upstream" else "hang=3"
        _, gateway = await bench.before_simulated(serves, simulate=fault)
        body = msgspec.json.encode({**EVERY_DIALECT[path], "stream": True})
        reader, writer = await gateway.connect()
        writer.write(ask(body, path=path.encode()))
        got = b""
        try:
            async with asyncio.timeout(0.5):
                while data := await reader.read(65_536):
                    got += data
        except (TimeoutError, ConnectionResetError):
            writer.close()
        await until(lambda: bench.spool.calls)
        (attempt,) = bench.spool.calls[0].attempts
        words = got.count(b"word")
        assert attempt.evidence is Evidence.ESTIMATED
        assert attempt.status is (Status.CUT if who == "the upstream" else Status.CLIENT_GONE)
        assert words > 20
        assert attempt.usage.output_tokens >= words * 0.9
        assert attempt.usage.input_tokens > 0
        assert attempt.cost_nanousd == attempt.usage.prompt_tokens * 1_000 + attempt.usage.completion_tokens * 5_000

    async def test_each_attempt_costs_what_its_own_model_costs(self, bench: Bench) -> None:
        """A fallback is not priced as the model that was asked first, nor is what that one had done forgotten."""

        async def cut(_: Request, exchange: Exchange) -> None:
            body = completion()
            await exchange.start(200, [*JSON, (b"content-length", b"%d" % len(body))])
            await exchange.send(body[:-20])
            exchange.abort()

        first, second = await bench.upstream(cut), await bench.upstream()
        gateway = await bench.gateway(first.url, second.url)
        answer = await post(gateway, question())
        (call,) = bench.spool.calls
        broken, served = call.attempts
        assert (broken.offer, broken.evidence, broken.status) == ("u0/real", Evidence.ESTIMATED, Status.FAILED)
        # The model had written all of it, of whatever length answers are: 211 tokens before one was seen.
        assert broken.cost_nanousd == 12 * 1_000 + 211 * 5_000
        # 36 at 2 USD/Mtok, 64 at 0.10, 20 at 6.
        assert (served.offer, served.cost_nanousd) == ("u1/real", 72_000 + 6_400 + 120_000)
        assert call.cost_nanousd == broken.cost_nanousd + served.cost_nanousd
        assert answer.headers["x-baseload-cost-usd"] == "0.0012654"

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("impatient", ["the gateway", "the client"])
    async def test_an_attempt_that_was_given_up_costs_its_prompt(
        self, bench: Bench, impatient: str, stream: bool
    ) -> None:
        """Its upstream was reading when nobody waited any more: as when the client hangs up, that is not nothing. Else
        a short deadline would be a way around every cap."""

        async def hang(_: Request, __: Exchange) -> None:
            await asyncio.sleep(30)

        up = await bench.upstream(hang)
        patience = Timeouts(first_byte=0.1) if impatient == "the gateway" else Timeouts()
        gateway = await bench.gateway(up.url, timeouts=patience)
        deadline = {"x-baseload-deadline-seconds": "0.1"} if impatient == "the client" else {}
        assert (await post(gateway, question(stream=stream), **deadline)).status_code == 504
        (call,) = bench.spool.calls
        (attempt,) = call.attempts
        assert (attempt.status, attempt.evidence) == (Status.TIMEOUT, Evidence.ESTIMATED)
        assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (12, 0)
        assert call.cost_nanousd == attempt.usage.input_tokens * 1_000

    async def test_an_attempt_that_reached_nobody_costs_nothing(self, bench: Bench) -> None:
        """A connection that never stood carried no prompt."""
        listening = await bench.upstream()
        gateway = await bench.gateway(listening.url, timeouts=Timeouts(connect=0.2))
        await post(gateway, question())
        await listening.server.drain(0.05)
        full = socket.create_server(("127.0.0.1", listening.server.address[1]), backlog=0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # a queue that is full answers nobody
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        try:
            assert (await post(gateway, question())).status_code == 504
        finally:
            for each in (full, *waiting):
                each.close()
        _, call = bench.spool.calls
        assert {attempt.evidence for attempt in call.attempts} == {Evidence.NONE}
        assert call.cost_nanousd == 0

    @pytest.mark.parametrize(
        ("path", "dialect", "answer"),
        [
            ("/v1/chat/completions", "openai", {"choices": None, "usage": usage(100, 20, cached=64)}),
            ("/v1/messages", "openai", {"choices": [], "usage": usage(100, 20, cached=64)}),
            ("/v1/responses", "everything", {"output": None, "usage": RESPONSES_USAGE}),
            ("/v1/chat/completions", "anthropic", {"type": "message", "content": None, "usage": CLAUDES_USAGE}),
            ("/v1/messages", "anthropic", {"type": "message", "content": 7, "usage": CLAUDES_USAGE}),
        ],
    )
    async def test_an_answer_that_is_none_costs_what_it_says(
        self, bench: Bench, path: str, dialect: str, answer: dict[str, object]
    ) -> None:
        """A prompt that a filter stopped, a shape that nobody can tell: what the upstream counted, it bills."""

        async def useless(_: Request, exchange: Exchange) -> None:
            await exchange.respond(200, JSON, msgspec.json.encode({"id": "x", **answer}))

        settings = {"dialect": Dialect.ANTHROPIC} if dialect == "anthropic" else {}
        if dialect == "everything":
            settings = {"operations": frozenset(Operation)}
        gateway = await bench.gateway((await bench.upstream(useless)).url, upstream=settings)
        assert (await post(gateway, EVERY_DIALECT[path], path)).status_code == 502
        (call,) = bench.spool.calls
        assert (call.status, call.attempts[0].evidence) == (Status.FAILED, Evidence.REPORTED)
        assert call.cost_nanousd == 36 * 1_000 + 64 * 100 + 20 * 5_000

    async def test_retries_and_fallbacks_add_up_and_never_multiply(self, bench: Bench) -> None:
        """Fallbacks that name each other are no ring, and no route begins its retries anew."""
        first, second = await bench.upstream(status(500)), await bench.upstream(status(503))
        routes = (route(0, model="a", names=("one",)), route(1, model="b", names=("two",)))
        policy = {"fallbacks": {"one": ("two",), "two": ("one",)}}
        retries = {"retries": Retries(times=2, first_seconds=0.01)}
        gateway = await bench.gateway(first.url, second.url, routes=routes, policy=policy, upstream=retries)
        assert (await post(gateway, question(model="one"))).status_code == 502
        assert (len(first.seen), len(second.seen)) == (3, 1)
        (call,) = bench.spool.calls
        assert [attempt.number for attempt in call.attempts] == [1, 2, 3, 4]
        assert call.cost_nanousd == 0
        assert {attempt.evidence for attempt in call.attempts} == {Evidence.NONE}

    async def test_a_price_that_is_missing_on_one_attempt_leaves_the_whole_call_unknown(self, bench: Bench) -> None:
        async def cut(_: Request, exchange: Exchange) -> None:
            await exchange.start(200, [*JSON, (b"content-length", b"9999")])
            await exchange.send(completion())
            exchange.abort()

        first, second = await bench.upstream(cut), await bench.upstream()
        routes = (route(0, offer="nobody/real", own=True), route(1))
        gateway = await bench.gateway(first.url, second.url, routes=routes)
        answer = await post(gateway, question())
        assert answer.headers["x-baseload-cost-usd"] == "unknown"
        assert [attempt.cost_nanousd is None for attempt in bench.spool.calls[0].attempts] == [True, False]

    async def test_first_requests_at_the_same_moment_pass_no_limit_and_are_counted_once_each(
        self, bench: Bench
    ) -> None:
        """Eight at once, on a gateway that has just begun: the slots hold, and the money is eight times one."""
        at_once = most = 0

        async def counts(request: Request, exchange: Exchange) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)
            at_once -= 1
            await plain(request, exchange)

        pool, api = await bench.upstream(counts), await bench.upstream()
        gateway = await bench.gateway(pool.url, api.url, routes=(route(0, own=True, slots=2), route(1)))
        answers = await asyncio.gather(*(post(gateway, question()) for _ in range(8)))
        assert Counter(answer.headers["x-baseload-upstream"] for answer in answers) == {"u0": 2, "u1": 6}
        assert most == 2
        calls = bench.spool.calls
        assert len({call.id for call in calls}) == len(calls) == 8
        assert sum(call.cost_nanousd for call in calls) == 2 * 142_400 + 6 * 198_400

    @OVER
    async def test_the_ledger_and_the_upstream_count_the_same(self, bench: Bench, serves: str) -> None:
        """Every dialect, whole and streamed, at once: no token is lost and none is counted twice."""
        simulated, gateway = await bench.before_simulated(serves)
        bodies = [(path, {**body, "stream": bool(n % 2)}) for path, body in EVERY_DIALECT.items() for n in range(10)]
        answers = await asyncio.gather(*(post(gateway, body, path) for path, body in bodies))
        assert {answer.status_code for answer in answers} == {200}
        calls = bench.spool.calls
        assert len(calls) == simulated.count.requests == len(bodies)
        assert sum(call.usage.prompt_tokens for call in calls) == simulated.count.prompt_tokens
        assert sum(call.usage.completion_tokens for call in calls) == simulated.count.completion_tokens


class TestNobodyWaitsForIt:
    @OVER
    @PATHS
    @pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
    @pytest.mark.parametrize("own", [False, True], ids=["API", "own pool"])
    async def test_an_upstream_stops_when_its_client_has_gone(
        self, bench: Bench, serves: str, path: str, stream: bool, own: bool
    ) -> None:
        """Whole answers as well as streams, in every dialect: a GPU must not write on for nobody."""
        simulated, gateway = await bench.before_simulated(
            serves, simulate="hang=2" if stream else "hang", changes={"own": own, "slots": 4}
        )
        _, writer = await gateway.connect()
        writer.write(ask(msgspec.json.encode({**EVERY_DIALECT[path], "stream": stream}), path=path.encode()))
        await until(lambda: simulated._in_flight)
        writer.close()
        await until(lambda: not simulated._in_flight)
        await until(lambda: bench.spool.calls)
        assert bench.spool.calls[0].status is Status.CLIENT_GONE
        assert bench.spool.calls[0].cost_nanousd > 0


class TestOneClientsTrouble:
    @pytest.mark.parametrize("operation", ["embeddings", "completions"])
    async def test_asking_a_chat_model_for_something_else_cools_nobody(self, bench: Bench, operation: str) -> None:
        """Such a 404 takes other gateways' only upstream away from everybody for five seconds."""
        simulated, gateway = await bench.before_simulated("chats", changes={"operations": frozenset({Operation.CHAT})})
        for _ in range(10):
            answer = await post(gateway, {"model": "auto", "input": "x", "prompt": "x"}, f"/v1/{operation}")
            assert answer.status_code == 400
        assert (await post(gateway, question(max_tokens=2))).status_code == 200
        assert simulated.count.requests == 1

    @pytest.mark.parametrize(
        "value",
        [
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
            b"[" + b"0," * 400_000 + b"0]",
            b"9" * 5_000,
            b"1e999999",
            b"NaN",
            b'"\\ud800"',
            b'"\xff\xfe"',
            b'"\x00"',
            b'"' + b"x" * 2_000_000 + b'"',
            b"",
        ],
        ids=lambda value: f"{value[:12]!r} {len(value)}",
    )
    @PATHS
    @pytest.mark.parametrize("field", ["model", "messages", "metadata", "max_tokens", "tools", "unknown"])
    async def test_a_hostile_value_is_the_clients_own_fault(
        self, bench: Bench, field: str, path: str, value: bytes
    ) -> None:
        """Refused or passed on, never a failure of the gateway; and the next one is served."""
        _, gateway = await bench.before_simulated("chats")
        fair = msgspec.json.encode({**EVERY_DIALECT[path], "max_tokens": 2})
        hostile = fair[:-1] + b',"%b":%b}' % (field.encode(), value)
        assert (await post(gateway, hostile, path)).status_code < 500
        assert (await post(gateway, EVERY_DIALECT[path], path)).status_code == 200

    @pytest.mark.parametrize(
        "fields",
        [
            b"X: " + b"a" * 200_000 + b"\r\n",
            b"A: b\r\n" * 5_000,
            b"X\x00: 1\r\n",
            b"Content-Length: 3\r\n",
            b"X : 1\r\n",
        ],
        ids=["long", "many", "nul", "two lengths", "space before the colon"],
    )
    async def test_hostile_headers_are_refused_and_only_their_connection_ends(
        self, bench: Bench, fields: bytes
    ) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        reader, writer = await gateway.connect()
        writer.write(ask(question(), headers=fields))
        assert (await reader.readline()).split()[1] in (b"400", b"431")
        assert up.seen == []
        assert (await post(gateway, question())).status_code == 200

    @pytest.mark.parametrize("header", ["authorization", "x-api-key"])
    async def test_sql_in_a_key_is_a_key_that_nobody_knows(self, bench: Bench, tmp_path: Path, header: str) -> None:
        make(tmp_path)
        up = await bench.upstream()
        gateway = await bench.gateway(up.url, data_dir=str(tmp_path))
        for injected in ("' OR '1'='1", "bl-00000000-'; DROP TABLE calls; --", "bl-' UNION SELECT 1 --", "bl-%' OR 1"):
            value = f"Bearer {injected}" if header == "authorization" else injected
            assert (await post(gateway, question(), **{header: value})).status_code == 401
        assert (up.seen, bench.spool.calls) == ([], [])

    async def test_sql_in_tags_is_written_down_as_it_is(self, bench: Bench, tmp_path: Path) -> None:
        said = "'); DROP TABLE calls; --"
        gateway = await bench.gateway((await bench.upstream()).url)
        await post(gateway, question(metadata={"team": said}, user=said), **{"x-request-id": said})
        with closing(open_store(tmp_path)) as store:
            store.record(bench.spool.calls)
            (kept,) = store.calls(Filter(tags={"team": said}))
        assert kept == bench.spool.calls[0]

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]"])
    @pytest.mark.parametrize("path", ["/v1/models", "/v1/../v1/models", "//v1/models", "/admin/keys", "/V1/models"])
    async def test_no_host_and_no_way_of_writing_a_path_stands_in_for_a_key(
        self, bench: Bench, tmp_path: Path, host: str, path: str
    ) -> None:
        make(tmp_path)
        gateway = await bench.gateway((await bench.upstream()).url, data_dir=str(tmp_path))
        for target in (path, f"http://localhost{path}"):
            reader, writer = await gateway.connect()
            forwarded = f"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\nX-Original-URL: {path}\r\n"
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{forwarded}\r\n".encode())
            assert (await reader.readline()).split()[1] in (b"401", b"403", b"404")

    @pytest.mark.parametrize("failing", ["500", "hang up", "a cut stream", "a client that leaves"])
    async def test_failures_leave_nothing_behind_in_memory(self, bench: Bench, failing: str) -> None:
        """The way of a failure is walked in every outage: what it keeps grows until the process is killed."""

        async def fails(_: Request, exchange: Exchange) -> None:
            if failing == "500":
                await exchange.respond(500, JSON, b'{"error":{"message":"no"}}')
            elif failing == "hang up":
                exchange.abort()
            else:
                await exchange.start(200, SSE)
                await exchange.send(chunk("one"))
                await (asyncio.sleep(0) if failing == "a cut stream" else asyncio.sleep(30))
                exchange.abort()

        gateway = await bench.gateway((await bench.upstream(fails)).url)
        for _ in range(40):
            reader, writer = await gateway.connect()
            writer.write(ask(question(stream=True), headers=b"Connection: close\r\n"))
            with suppress(ConnectionResetError):
                await (reader.read(1) if failing == "a client that leaves" else reader.read(-1))
            writer.close()
        await until(lambda: len(bench.spool.calls) == 40)
        await asyncio.sleep(0.05)
        gc.collect()
        kept = Counter(
            type(each).__name__ for each in gc.get_objects() if isinstance(each, (Job, Record, Try, Exchange))
        )
        assert kept == {}


async def test_whatever_everybody_does_each_request_is_one_call_and_nothing_is_held(bench: Bench) -> None:
    """Upstreams that fail in every way, clients that leave at any moment, a line for slots, a policy that is exchanged:
    what was doubled, lost or never given back would show here."""
    chance = random.Random(1)  # noqa: S311 (no secret)

    async def wild(request: Request, exchange: Exchange) -> None:
        fate = chance.random()
        if fate < 0.05:
            exchange.abort()
        elif fate < 0.15:
            await status(500 if fate < 0.1 else 429)(request, exchange)
        else:
            await asyncio.sleep(chance.random() * 0.02)
            if fate < 0.2:
                await exchange.start(200, SSE)
                await exchange.send(chunk("one"))
                exchange.abort()
            else:
                await plain(request, exchange)

    urls = [(await bench.upstream(wild)).url for _ in range(2)]
    routes = (route(0, own=True, slots=4, wait_seconds=0.05), route(1))
    gateway = await bench.gateway(*urls, routes=routes, upstream={"retries": Retries(times=1, first_seconds=0.005)})

    async def client() -> None:
        for number in range(15):
            reader, writer = await gateway.connect()
            writer.write(ask(question(stream=bool(number % 2)), headers=b"Connection: close\r\n"))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.03)
            else:
                with suppress(ConnectionResetError):
                    await asyncio.wait_for(reader.read(-1), 5)
            writer.close()
            gateway.gateway.swap(gateway.gateway._state.snapshot.policy)

    await asyncio.gather(*(client() for _ in range(16)))
    await until(lambda: len(bench.spool.calls) == 240)
    held = gateway.gateway._state.slots.in_flight
    await until(lambda: not any(held.values()))
    assert len({call.id for call in bench.spool.calls}) == len(bench.spool.calls) == 240
    assert gateway.gateway._server.room.held == 0
    for call in bench.spool.calls:
        assert call.cost_nanousd is not None
        assert (call.cost_nanousd > 0) == any(each.evidence is not Evidence.NONE for each in call.attempts)
        assert [each.number for each in call.attempts] == list(range(1, len(call.attempts) + 1))


async def test_an_official_client_never_takes_a_broken_stream_for_a_whole_one(bench: Bench) -> None:
    """The first route breaks before a word and the second serves; when it breaks after a word the client is told."""

    async def silent(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, SSE)
        exchange.abort()

    async def talks(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, SSE)
        await exchange.send(chunk("one"))
        await asyncio.sleep(0.05)
        exchange.abort()

    first, second, third = await bench.upstream(silent), await bench.upstream(), await bench.upstream(talks)
    gateway = await bench.gateway(first.url, second.url)
    stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    assert "".join([event.choices[0].delta.content or "" async for event in stream if event.choices]) == "hello there"
    gateway = await bench.gateway(third.url, second.url)
    stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIConnectionError):
        async for _ in stream:
            pass
    assert len(second.seen) == 1
