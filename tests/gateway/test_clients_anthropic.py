"""The official Anthropic client, unmodified, sync and async, through the gateway to upstreams of every dialect."""

from __future__ import annotations

import asyncio

import anthropic
import httpx2 as httpx
import pydantic
import pytest
from tests.gateway.conftest import Bench, Running

from baseload.load.calls import Evidence, Status
from baseload.settings import Timeouts
from baseload.usage import Usage

MESSAGES = [{"role": "user", "content": "What is a base load?"}]
ASKED = {"model": "auto", "messages": MESSAGES, "system": "Be brief.", "max_tokens": 7}
WORDS = 2 + 5
TOOL = {
    "name": "look_up",
    "description": "Look a word up.",
    "input_schema": {
        "type": "object",
        "properties": {"word": {"type": "string"}, "limit": {"type": "integer", "minimum": 3}},
        "required": ["word", "limit"],
    },
}
ALL = pytest.mark.parametrize("serves", ["everything", "chats", "Anthropic"])


class Verdict(pydantic.BaseModel):
    """What an answer has to be."""

    word: str
    sure: bool


@ALL
class TestMessages:
    async def test_an_answer(self, bench: Bench, serves: str) -> None:
        simulated, gateway = await bench.before_simulated(serves)
        answer = await gateway.claude().messages.create(**ASKED, metadata={"user_id": "ann"})
        assert answer.content[0].text.split() == ["word"] * 7
        assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "max_tokens")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (WORDS, 7)
        (call,) = bench.spool.calls
        assert (call.usage, call.facts.operation) == (Usage(input_tokens=WORDS, output_tokens=7), "messages")
        assert call.facts.tags["user"] == "ann"
        assert simulated.count.completion_tokens == 7

    async def test_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        async with gateway.claude().messages.stream(**ASKED) as stream:
            text = "".join([text async for text in stream.text_stream])
            final = await stream.get_final_message()
        assert text.split() == ["word"] * 7
        assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 7)
        assert bench.spool.calls[0].usage == Usage(input_tokens=WORDS, output_tokens=7)

    async def test_the_raw_events_of_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        stream = await gateway.claude().messages.create(**ASKED, stream=True)
        kinds = [event.type async for event in stream]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]

    async def test_a_tool(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        client = gateway.claude()
        answer = await client.messages.create(**ASKED, tools=[TOOL], tool_choice={"type": "tool", "name": "look_up"})
        (used,) = [block for block in answer.content if block.type == "tool_use"]
        assert (used.name, used.input, answer.stop_reason) == ("look_up", {"word": "word", "limit": 3}, "tool_use")
        result = {"type": "tool_result", "tool_use_id": used.id, "content": "It is what is always needed."}
        said = [
            *MESSAGES,
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
            {"role": "user", "content": [result]},
        ]
        after = await client.messages.create(**{**ASKED, "messages": said, "max_tokens": 2}, tools=[TOOL])
        assert after.content[0].text == "word word"

    async def test_a_tool_in_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        async with gateway.claude().messages.stream(**ASKED, tools=[TOOL], tool_choice={"type": "any"}) as stream:
            final = await stream.get_final_message()
        assert [(block.name, block.input) for block in final.content] == [("look_up", {"word": "word", "limit": 3})]

    async def test_a_schema(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        answer = await gateway.claude().messages.parse(**ASKED, output_format=Verdict)
        assert answer.parsed_output == Verdict(word="word", sure=False)
        assert bench.spool.calls[0].facts.needs == {"json_schema"}

    async def test_tokens_are_counted_and_nothing_is_metered(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        asked = {"model": "auto", "messages": MESSAGES, "system": "Be brief."}
        answer = await gateway.claude().messages.with_raw_response.count_tokens(**asked)
        counted, evidence = (await answer.parse()).input_tokens, answer.headers["x-baseload-evidence"]
        if serves == "chats":
            assert (counted > 5, evidence) == (True, "estimated")
        else:
            assert (counted, evidence) == (WORDS, "reported")
        assert bench.spool.calls == []


@pytest.mark.parametrize("fault", ["500", "garbage", "reset", "cut"])
async def test_an_upstream_that_cannot_count_leaves_our_estimate(bench: Bench, fault: str) -> None:
    _, gateway = await bench.before_simulated("Anthropic", simulate=fault)
    answer = await gateway.claude().messages.with_raw_response.count_tokens(model="auto", messages=MESSAGES)
    assert answer.headers["x-baseload-evidence"] == "estimated"
    assert (await answer.parse()).input_tokens > 5


ERRORS = [
    ("400", anthropic.BadRequestError, 400, "invalid_request_error", "simulated 400"),
    ("404", anthropic.NotFoundError, 404, "not_found_error", "simulated 404"),
    ("403", anthropic.InternalServerError, 502, "api_error", "refuses the gateway's own key"),
    ("429=7", anthropic.RateLimitError, 429, "rate_limit_error", "simulated 429"),
    ("500", anthropic.InternalServerError, 502, "api_error", "simulated 500"),
    ("garbage", anthropic.InternalServerError, 502, "api_error", "without an answer"),
    ("reset", anthropic.InternalServerError, 502, "api_error", "closed"),
    ("cut", anthropic.InternalServerError, 502, "api_error", "closed inside the answer"),
]


class TestErrors:
    @ALL
    @pytest.mark.parametrize(("fault", "kind", "status", "type_", "says"), ERRORS, ids=[row[0] for row in ERRORS])
    async def test_each_is_the_librarys_own(
        self, bench: Bench, serves: str, fault: str, kind: type[Exception], status: int, type_: str, says: str
    ) -> None:
        _, gateway = await bench.before_simulated(serves, simulate=fault)
        with pytest.raises(kind) as caught:
            await gateway.claude().messages.create(**ASKED)
        error = caught.value
        assert (error.status_code, error.type, error.body["type"]) == (status, type_, "error")
        assert says in error.body["error"]["message"]
        assert error.request_id
        if fault == "429=7":
            assert error.response.headers["retry-after"] == "7"

    @pytest.mark.parametrize(
        ("change", "kind", "says"),
        [
            ({"model": "gpt-9"}, anthropic.NotFoundError, "does not exist here"),
            ({"messages": "not a list"}, anthropic.BadRequestError, "messages"),
        ],
    )
    async def test_ours_too(self, bench: Bench, change: dict[str, object], kind: type[Exception], says: str) -> None:
        _, gateway = await bench.before_simulated()
        with pytest.raises(kind) as caught:
            await gateway.claude().messages.create(**{**ASKED, **change})
        assert says in caught.value.body["error"]["message"]

    async def test_and_those_of_the_server_itself(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated()
        async with httpx.AsyncClient() as client:
            wrong = await client.get(f"{gateway.url}/v1/messages")
            unknown = await client.post(f"{gateway.url}/v1/messages/batches", json={})
            broken = await client.post(f"{gateway.url}/v1/messages", headers={"expect": "magic"}, json={})
        found = [(each.status_code, each.json()["error"]["type"]) for each in (wrong, unknown, broken)]
        assert found == [
            (405, "invalid_request_error"),
            (404, "not_found_error"),
            (417, "invalid_request_error"),
        ]

    @ALL
    async def test_a_stream_that_breaks_is_broken(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="cut=2")
        with pytest.raises(httpx.TransportError):
            async for _ in await gateway.claude().messages.create(**ASKED, stream=True):
                pass
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.status, attempt.evidence) == (Status.CUT, Evidence.ESTIMATED)
        assert attempt.usage.output_tokens > 1

    @ALL
    async def test_an_error_inside_of_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="error")
        with pytest.raises(anthropic.APIError, match="simulated error"):
            async for _ in await gateway.claude().messages.create(**ASKED, stream=True):
                pass
        assert bench.spool.calls[0].status is Status.CUT

    @ALL
    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_upstream_that_does_not_count_is_estimated(self, bench: Bench, serves: str, stream: bool) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="no-usage")
        asked = {**ASKED, "max_tokens": 60}
        if stream:
            async for _ in await gateway.claude().messages.create(**asked, stream=True):
                pass
        else:
            await gateway.claude().messages.create(**asked)
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.evidence, attempt.status) == (Evidence.ESTIMATED, Status.OK)
        assert attempt.usage.output_tokens > 40

    async def test_an_upstream_that_is_too_slow(self, bench: Bench) -> None:
        quick = Timeouts(first_byte=0.2, idle=0.2)
        _, gateway = await bench.before_simulated("Anthropic", simulate="hang", timeouts=quick)
        with pytest.raises(anthropic.InternalServerError) as caught:
            await gateway.claude().messages.create(**ASKED)
        assert (caught.value.status_code, caught.value.type) == (504, "timeout_error")

    async def test_a_client_that_is_impatient(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated("Anthropic", simulate="hang")
        with pytest.raises(anthropic.APITimeoutError):
            await gateway.claude().with_options(timeout=0.2).messages.create(**ASKED)
        await asyncio.sleep(0.1)
        assert bench.spool.calls[0].status is Status.CLIENT_GONE


@ALL
async def test_sync(bench: Bench, serves: str) -> None:
    _, gateway = await bench.before_simulated(serves)
    assert await asyncio.to_thread(_everything, gateway) == ["word"] * 2
    assert [call.status for call in bench.spool.calls] == [Status.OK] * 2


def _everything(gateway: Running) -> list[str]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="k", max_retries=0) as client:
        whole = client.messages.create(**ASKED).content[0].text
        with client.messages.stream(**ASKED) as stream:
            parts = "".join(stream.text_stream)
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(**{**ASKED, "model": "gpt-9"})
        return [text.split()[0] for text in (whole, parts)]
