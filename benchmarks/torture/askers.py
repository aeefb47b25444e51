"""Clients that keep asking, some of which leave in the middle; each remembers what it was answered. Acts (sockets)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httptools
import msgspec

TEAMS = ("web", "batch", "lab", "open", "open", "open")
SECONDS = 20.0
"""How long a client waits for its answer."""
PAUSE_SECONDS = 0.05
"""After a refusal or a broken connection."""


class Asked(msgspec.Struct):
    """One request and what became of it: `whole`, `left` (the client went), `broken`, or the code of a refusal.

    Times are of the monotonic clock. `decision` is the name of the call, where the client was told; `usage` what the
    answer said. `needed`, `spent`, `reserved` and `limit` are those of a refusal by the budget `budget`.
    """

    id: str
    team: str
    began: float
    stream: bool
    ended: float = 0.0
    became: str = ""
    decision: str = ""
    usage: tuple[int, int] | None = None
    budget: str = ""
    amounts: dict[str, int] = {}


@dataclass
class Askers:
    """`load` clients at once, until they are told to stop. `told` is what became of every request so far."""

    port: int
    seed: int
    cut: bool = True  # whether clients leave, and requests come twice
    teams: tuple[str, ...] = TEAMS
    told: list[Asked] = field(default_factory=list)
    flying: dict[int, Asked] = field(default_factory=dict)
    replayed: int = 0
    stopping: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, load: int) -> None:
        self._tasks = [asyncio.create_task(self._ask_on(number)) for number in range(load)]

    async def stop(self) -> None:
        self.stopping = True
        await asyncio.gather(*self._tasks)

    @property
    def became(self) -> Counter[str]:
        return Counter(asked.became for asked in self.told)

    async def _ask_on(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}/{'-'.join(self.teams)}")
        asked, body, leave = None, b"", 0
        while not self.stopping:
            if asked is not None and self.cut and chance.random() < 0.03:
                self.replayed += 1  # the same request once more, under the same id
                asked = Asked(asked.id, asked.team, 0.0, asked.stream)
            else:
                asked, body, leave = self._question(chance)
            self.flying[number] = asked
            asked.began = time.monotonic()
            try:
                async with asyncio.timeout(SECONDS):
                    await _Exchange(asked, leave).ask(self.port, body)
            except TimeoutError:
                asked.became = "slow"
            except OSError:
                asked.became = "no connection"
            asked.ended = time.monotonic()
            del self.flying[number]
            self.told.append(asked)
            if asked.became not in ("whole", "left"):
                await asyncio.sleep(PAUSE_SECONDS * (1 + chance.random()))

    def _question(self, chance: random.Random) -> tuple[Asked, bytes, int]:
        """A request, and after how many bytes of its answer the client leaves; 0 for never."""
        asked = Asked(chance.randbytes(12).hex(), chance.choice(self.teams), 0.0, chance.random() < 0.6)
        document: dict[str, Any] = {
            "model": chance.choice(("auto", "auto", "alpha", "beta")),
            "messages": [{"role": "user", "content": "sentence " * chance.randint(1, 120)}],
            "max_tokens": chance.randint(1, 80),
            "stream": asked.stream,
        }
        if asked.stream and chance.random() < 0.7:
            document["stream_options"] = {"include_usage": True}
        leave = chance.choice((1, 300, 900)) if self.cut and chance.random() < 0.05 else 0
        return asked, msgspec.json.encode(document), leave


class _Exchange:
    """One request on a connection of its own."""

    def __init__(self, asked: Asked, leave: int) -> None:
        self._asked, self._leave = asked, leave
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True

    async def ask(self, port: int, body: bytes) -> None:
        asked = self._asked
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                f"x-request-id: {asked.id}\r\nx-baseload-tag-team: {asked.team}\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            got = 0
            while not self._complete:
                data = await reader.read(65_536)
                got += len(data)
                if not data:
                    asked.became = "broken"
                    return
                self._parser.feed_data(data)
                if self._leave and got >= self._leave and not self._complete:
                    asked.became = "left"
                    return
        except (ConnectionError, httptools.HttpParserError):
            asked.became = "broken"
            return
        finally:
            writer.transport.abort()
        self._read()

    def _read(self) -> None:
        asked, headers = self._asked, self._headers
        asked.decision = headers.get(b"x-baseload-decision-id", b"").decode()
        if self._parser.get_status_code() != 200:
            asked.became = _code(self._body)
            asked.budget = headers.get(b"x-baseload-budget", b"").decode()
            names = ("limit", "spent", "reserved", "needed")
            asked.amounts = {name: int(headers.get(f"x-baseload-budget-{name}".encode(), b"0")) for name in names}
            return
        if not asked.stream:
            asked.became, asked.usage = "whole", _usage(self._body)
            return
        if b"data: [DONE]" not in self._body:
            asked.became = "broken"  # an error in the stream, told as one
            return
        asked.became = "whole"
        for line in self._body.splitlines():
            if b'"usage":{' in line:
                asked.usage = _usage(line.removeprefix(b"data: "))


def _usage(document: bytes) -> tuple[int, int] | None:
    found = msgspec.json.decode(document).get("usage")
    return (found["prompt_tokens"], found["completion_tokens"]) if found else None


def _code(body: bytes) -> str:
    try:
        error = msgspec.json.decode(body)["error"]
        return str(error.get("code") or error.get("type") or "refused")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "refused"
