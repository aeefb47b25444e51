"""Very many requests at random, most of them plain: whatever upstreams, clients and the disk do, nothing is lost.

Clients send several requests at once or leave at any moment; upstreams answer whole, in pieces, broken, late, packed
or not at all; the spool fails now and then; slots and budgets are scarce. When all is over every place, slot, byte
and reservation was given back, no client has had another one's answer, and the ledger holds what upstreams counted.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections import Counter, defaultdict
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gateway.conftest import Bench, Running, ask, chunk, completion, offer, route, usage

from baseload.clock import from_ns
from baseload.cost.tariffs import Tariffs
from baseload.cost.tokens import price
from baseload.errors import LedgerUnavailable
from baseload.gateway import meter, shares
from baseload.gateway.express import Express
from baseload.gateway.flight import Flight
from baseload.gateway.http import Connection, Exchange, Request
from baseload.gateway.loaded import Loaded
from baseload.gateway.state import Snapshot
from baseload.gateway.target import Target
from baseload.ledger.held import reserved
from baseload.ledger.hot import open_store
from baseload.ledger.leases import Leases
from baseload.load.calls import Call, Evidence, Status
from baseload.load.facts import Facts
from baseload.policy.budget import Budget, Mode, Per
from baseload.policy.decide import State, decide
from baseload.policy.policy import Route
from baseload.upstreams import Circuit, Pool, Timeouts

SEEDS = (1, 6, 7, 9)
CLIENTS, TURNS = 4, 60
LEAST = 10
NEVER = 10**6
CAP_NANOUSD, PLENTY_NANOUSD = 25_000_000, 10_000_000_000

# How an upstream answers, and how often.
WHOLE = {"whole": 90, "pieces": 8, "apart": 6, "chunked": 6, "last": 4, "slow": 4, "twice": 2, "packed": 3, "big": 1}
ODD = {"uncounted": 3, "odd": 3, "tier": 2, "charged": 2, "until close": 2, "events": 2, "nothing": 1}
BAD = {"400": 2, "401": 1, "429": 2, "500": 3, "cut": 3, "gone": 4, "junk": 2, "hangs": 1, "stalls": 1}
COUNTED = frozenset(WHOLE) | {"tier", "charged", "until close", "events"}
NOT_COUNTED = frozenset(("uncounted", "odd"))


class Receipt(msgspec.Struct):
    """A request as an upstream had it: what it answered, and what it says that this consumed."""

    upstream: str
    mode: str
    counted: dict[str, Any]


class Chance:
    """Upstreams that answer at random. What came is in `receipts`, by the id that the request came with."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.receipts: dict[str, list[Receipt]] = defaultdict(list)
        modes = WHOLE | ODD | BAD
        self._modes, self._weights = list(modes), list(modes.values())

    async def serve(self, bench: Bench, name: str) -> str:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            bench.stack.callback(writer.transport.abort)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answers(name, reader, writer):
                    pass
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        bench.stack.callback(server.close)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def _answers(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower().decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = msgspec.json.decode(await reader.readexactly(int(fields["content-length"])))
        [mode] = self.chance.choices(self._modes, self._weights)
        cached = self.chance.choice((0, 0, 1))
        counted = usage(self.chance.randint(2, 12), self.chance.randint(1, body["max_tokens"]), cached=cached)
        self.receipts[fields["x-request-id"]].append(Receipt(name, mode, counted))
        text = body["messages"][0]["content"]
        if body.get("stream") and mode in WHOLE:
            mode = "events"
        return await self._writes(mode, completion(text, usage=counted), text, counted, writer)

    async def _writes(
        self, mode: str, body: bytes, text: str, counted: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer; whether the connection stays."""
        pause = self.chance.choice((0, 0, 0.001, 0.004))
        answer = _answer(body)
        if mode in ("slow", "hangs"):
            pause = 0.02 if mode == "slow" else 0.5
        if mode == "pieces":
            size = self.chance.randint(1, 90)
            pieces = [answer[at : at + size] for at in range(0, len(answer), size)][:40]
            pieces.append(answer[sum(map(len, pieces)) :])
        elif mode == "apart":
            at = answer.index(b"\r\n\r\n") + 4
            pieces = [answer[:at], answer[at:]]
        elif mode == "stalls":
            pieces = [answer[:-9]]
        elif mode == "cut":
            pieces = [answer[: self.chance.randrange(1, len(answer))]]
        else:
            odd = _odd(mode, body, text, counted)
            pieces = [answer if odd is None else odd]
        await asyncio.sleep(pause)
        for piece in pieces:
            if writer.is_closing():
                return False
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(self.chance.choice((0, 0, 0.0005)))
        if mode == "stalls":
            await asyncio.sleep(0.5)
        return mode not in ("cut", "gone", "junk", "until close", "last", "stalls")


def _answer(body: bytes, head: bytes = b"content-type: application/json\r\n", status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status.encode(), head, len(body), body)


def _odd(mode: str, body: bytes, text: str, counted: dict[str, Any]) -> bytes | None:
    """An answer that is not simply the body."""
    if mode == "chunked":
        half = len(body) // 2
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + parts
    if mode == "events":
        events = chunk(text) + chunk(usage=counted) + b"data: [DONE]\n\n"
        return _answer(events, b"content-type: text/event-stream\r\n")
    if mode in ("400", "401", "429", "500"):
        return _answer(b'{"error":{"message":"no"}}', b"content-type: application/json\r\n", f"{mode} No")
    found = {
        "last": _answer(body, b"connection: close\r\n"),
        "twice": _answer(body) * 2,
        "packed": _answer(gzip.compress(body), b"content-encoding: gzip\r\n"),
        "big": _answer(completion(text, usage=counted, more="x" * 200_000)),
        "uncounted": _answer(completion(text, usage=None)),
        "odd": _answer(completion(text, usage={"prompt_tokens": -1, "completion_tokens": "many"})),
        "tier": _answer(completion(text, usage=counted, service_tier="flex")),
        "charged": _answer(completion(text, usage=counted | {"cost": 0.25})),
        "until close": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + body,
        "nothing": _answer(b""),
        "junk": b"220 ready\r\n\r\n",
    }
    return b"" if mode == "gone" else found.get(mode)


class FailingSpool:
    """A spool that knows what is under way, and fails as often as it is told to."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.fails = 0.0
        self.calls: list[Call] = []
        self.begun: dict[str, Call] = {}  # as each was kept first
        self.places: dict[object, str] = {}  # that are taken

    def begin(self, call: Call, before: object = None) -> object:
        self._may_fail()
        self.begun.setdefault(call.id, call)
        self.places.pop(before, None)
        place = object()
        self.places[place] = call.id
        return place

    def keep(self, _: str, body: bytes) -> object:
        return self.begin(msgspec.json.decode(body, type=Call))

    def release(self, begun: object) -> None:
        del self.places[begun]

    def append(self, call: Call, begun: object = None) -> None:
        self._may_fail()
        self.calls.append(call)
        if begun is not None:
            del self.places[begun]

    def write(self, call: str, body: bytes, begun: object) -> None:
        found = msgspec.json.decode(body, type=Call)
        assert found.id == call
        assert msgspec.json.encode(found) == body
        self.append(found, begun)

    def _may_fail(self) -> None:
        if self.chance.random() < self.fails:
            raise LedgerUnavailable("the disk is full", remedy="Free some.")


class Client:
    """Asks, several requests at once; reads all answers, or leaves. What it has had is in `had`, by its own names."""

    def __init__(self, gateway: Running, chance: random.Random, number: int) -> None:
        self.gateway, self.chance, self.number = gateway, chance, number
        self.had: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked = 0

    async def run(self) -> None:
        writer = None
        for _ in range(TURNS):
            if writer is None or writer.is_closing():
                reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
            names = [self._name() for _ in range(self.chance.choice((1, 1, 1, 2, 4)))]
            for name in names:
                data = self._request(name)
                at = self.chance.choice((0, 0, 0, self.chance.randrange(len(data))))
                for part in (data[:at], data[at:]):
                    if not writer.is_closing():
                        writer.write(part)
                    await asyncio.sleep(0.001 if at else 0)
            if self.chance.random() < 0.12:
                await asyncio.sleep(self.chance.choice((0, 0.001, 0.003, 0.01)))
                writer.transport.abort()
                writer = None
                continue
            for name in names:
                try:
                    self.had[name] = await asyncio.wait_for(_read(reader), 10)
                except (asyncio.IncompleteReadError, ConnectionError):  # broken off, which says so
                    writer.transport.abort()
                    writer = None
                    break
        if writer is not None:
            writer.close()

    def _name(self) -> str:
        self.asked += 1
        return f"{self.number}-{self.asked}"

    def _request(self, name: str) -> bytes:
        chance = self.chance
        body: dict[str, Any] = {
            "model": "auto",
            "messages": [{"role": "user", "content": name}],
            "max_tokens": chance.choice((8, 30)),
        }
        if chance.random() < 0.3:
            body["metadata"] = {"team": chance.choice(("web", "shop")), "odd": '%d"\x7f\t%', "task": "classify"}
        if chance.random() < 0.08:
            body["stream"] = True
        headers = b"x-request-id: c%b-%%b\r\n" % name.encode() if chance.random() < 0.2 else b""
        return ask(body, headers)


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    if "content-length" in headers:
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return int(lines[0].split()[1]), headers, body


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests went the express way, and how many of those had to go on the other one."""
    found: Counter[str] = Counter()
    take, resume = Express.take, Flight._resume

    def taken(self: Express, line: Connection, request: Request) -> Flight | None:
        flight = take(self, line, request)
        found["express" if flight is not None else "other"] += 1
        if flight is not None:
            found[request.name] = 1
        return flight

    async def resumed(self: Flight, request: Request, exchange: Exchange) -> None:
        found["resumed"] += 1
        await resume(self, request, exchange)

    monkeypatch.setattr(Express, "take", taken)
    monkeypatch.setattr(Flight, "_resume", resumed)
    monkeypatch.setattr(meter, "PROBE_NS", 2_000_000)  # a disk that is full is tried again soon
    monkeypatch.setattr(shares, "ROUND_SECONDS", 20.0)  # this machine may be busy
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_nothing_is_lost(
    bench: Bench, ways: Counter[str], tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)  # noqa: S311 (a test is to be the same each time)
    upstreams, spool, slots = Chance(chance), FailingSpool(chance), chance.choice((1, 2, 4))
    bench.spool = spool  # type: ignore[assignment]
    tight, spends = seed % 3 == 2, seed % 3 != 1  # nearly every request waits for its budget; or there are no budgets
    cap = CAP_NANOUSD if tight else PLENTY_NANOUSD
    budgets = (
        Budget(name="all", per=Per.TOTAL, usd=Decimal(cap) / 10**9),
        Budget(name="team", per=Per.DAY, usd=Decimal(1), each="team", match={"team": "*"}),
        Budget(name="told", per=Per.MINUTE, tokens=500, mode=Mode.WARN),
    )
    circuit = Circuit(failures=NEVER if seed % 2 else 3, open_seconds=0.05)
    gateway = await bench.gateway(
        await upstreams.serve(bench, "u0"),
        await upstreams.serve(bench, "u1"),
        routes=(route(0, slots=slots, wait_seconds=0.03 * (seed % 2)), route(1)),
        timeouts=Timeouts(first_byte=0.25, idle=0.25),
        every={"circuit": circuit, "pool": Pool(replica_slots=3 if seed % 4 > 1 else None)},
        data_dir=str(tmp_path),
        budgets=budgets if spends else (),
    )
    snapshots = [gateway.gateway._state.snapshot]
    clients = [Client(gateway, chance, number) for number in range(CLIENTS)]
    running = [asyncio.create_task(each.run()) for each in clients]
    while not all(task.done() for task in running):
        spool.fails = 0.3 if chance.random() < 0.1 else 0.0
        if chance.random() < 0.1:
            _reload(gateway, chance)
            snapshots.append(gateway.gateway._state.snapshot)
        await asyncio.sleep(0.01)
    spool.fails = 0.0
    await asyncio.gather(*running)
    targets = {id(each): each for at in snapshots for each in at.targets.values()}
    await _quiet(gateway, list(targets.values()))
    _nothing_is_held(gateway, spool, list(targets.values()))
    _the_ledger_is_right(gateway, upstreams, spool, clients)
    for name, call in spool.begun.items():
        if ways[name]:
            [of] = {each.version: each for each in snapshots if each.version == call.decision.policy}.values()
            _is_decided_right(of, gateway.gateway._state.tariffs, call)
    if spends:
        await _budgets_are_right(gateway, spool, tmp_path, cap)
    assert not [each for each in caplog.records if each.exc_info], caplog.text
    if slots > 1 and seed % 2 and not tight:  # else most requests find no slot, or an upstream that is left out
        assert ways["express"] > LEAST, ways.most_common(2)


def _reload(gateway: Running, chance: random.Random) -> None:
    """Another name for the policy, or other servers' settings too: what is under way goes on with what it has."""
    settings = gateway.gateway._settings
    policy = msgspec.structs.replace(settings.policy, name=f"test-{chance.randrange(NEVER)}")
    if chance.random() < 0.5:
        gateway.gateway.swap(policy)
        return
    timeouts = Timeouts(first_byte=0.25, idle=chance.uniform(0.2, 0.3))
    upstreams = tuple(msgspec.structs.replace(each, timeouts=timeouts) for each in settings.upstreams)
    changed = msgspec.structs.replace(settings, policy=policy, upstreams=upstreams)
    gateway.gateway.take(Loaded(settings=changed, offers=gateway.gateway._state.snapshot.offers))


async def _quiet(gateway: Running, targets: list[Target]) -> None:
    """Until no client is there and nothing under way."""
    server = gateway.gateway._server
    assert server is not None
    for _ in range(400):
        if not server.connections and not any(each._under_way for each in targets):
            break
        await asyncio.sleep(0.005)
    assert gateway.gateway.meter.catch_up()


def _nothing_is_held(gateway: Running, spool: FailingSpool, targets: list[Target]) -> None:
    state, server = gateway.gateway._state, gateway.gateway._server
    assert server is not None
    assert server.connections == set()
    assert server.room.held == 0
    assert not any(state.slots._own.values()), state.slots._own
    assert spool.places == {}
    for target in targets:
        assert target._under_way == 0
        if not target._counts:  # else that is looked up in the slots before each choice
            assert [each.in_flight for each in target.replicas] == [0] * len(target.replicas)
        for client in target._clients.values():
            assert all(each.listener is None for each in client._open)
            assert len(client._idle) == len(set(client._idle))


def _the_ledger_is_right(gateway: Running, upstreams: Chance, spool: FailingSpool, clients: list[Client]) -> None:
    calls = {call.id: call for call in spool.calls}
    assert len(calls) == len(spool.calls)
    by_name = {(call.facts.request_id or call.id): call for call in spool.calls}
    for name, receipts in upstreams.receipts.items():
        assert name in by_name, (name, receipts)
        tried = Counter(attempt.upstream for attempt in by_name[name].attempts)
        assert not Counter(each.upstream for each in receipts) - tried, (name, receipts, by_name[name])
    for call in calls.values():
        _call_is_right(call, upstreams)
    for client in clients:
        for name, (status, headers, body) in client.had.items():
            if status == 200:
                text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
                assert b'"content":"%b"' % name.encode() in text, (name, text)
                call = calls[headers["x-baseload-decision-id"]]
                assert call.status is Status.OK, call
                assert headers.get("x-request-id") == (call.facts.request_id or call.id)
                if "x-baseload-cost-usd" in headers:  # a stream has none
                    assert Decimal(headers["x-baseload-cost-usd"]) * 10**9 == call.cost_nanousd
            else:
                assert status in (400, 429, 502, 503, 504), (status, body)


def _call_is_right(call: Call, upstreams: Chance) -> None:
    for attempt in call.attempts:
        if attempt.evidence is not Evidence.NONE and not attempt.service_tier:
            charge = price(attempt.usage, offer(int(attempt.upstream[1:])), from_ns(attempt.started_ns))
            assert attempt.cost_nanousd == charge.nanousd
    receipts = upstreams.receipts.get(call.facts.request_id or call.id, [])
    assert not [each for each in receipts[:-1] if each.mode in COUNTED | NOT_COUNTED], (receipts, call)  # asked twice
    if call.status is Status.OK:
        receipt, last = receipts[-1], call.attempts[-1]
        if receipt.mode in COUNTED:
            assert last.evidence is Evidence.REPORTED, (receipt, last)
            assert last.usage.prompt_tokens == receipt.counted["prompt_tokens"]
            assert last.usage.completion_tokens == receipt.counted["completion_tokens"]
        else:
            assert last.evidence is Evidence.ESTIMATED, (receipt, last)
            assert last.usage.prompt_tokens == call.facts.input_tokens
    else:
        assert receipts or not any(each.evidence is not Evidence.NONE for each in call.attempts), call


def _is_decided_right(snapshot: Snapshot, tariffs: Tariffs, begun: Call) -> None:
    likely = begun.attempts[0].usage.output_tokens

    def estimate(each: Route, facts: Facts) -> int | None:
        tariff = tariffs.at(each.offer, snapshot.offers[each.offer], facts.at_ns)
        return tariff.expected(facts.input_tokens, likely) if tariff is not None else None

    found = decide(begun.facts, snapshot.policy, State(), estimate, policy_version=snapshot.version, id=begun.id)
    assert found == begun.decision


async def _budgets_are_right(gateway: Running, spool: FailingSpool, directory: Path, cap: int) -> None:
    await gateway.gateway.stop(0.1)
    assert reserved(directory / "spool") == {}
    charged: Counter[tuple[str, int]] = Counter()
    for call in spool.calls:
        for charge in call.charges:
            charged[charge.budget, charge.window_ns] += charge.amount
    with closing(open_store(directory)) as store:
        store.record(spool.calls)
        found = Leases(store).standing(list(charged))
    for place, amount in charged.items():
        assert (found[place].charged, found[place].leased) == (amount, 0), place
    total = sum(call.cost_nanousd or 0 for call in spool.calls)
    assert sum(amount for (name, _), amount in charged.items() if name.startswith("all ")) == total
    assert total <= cap
