"""The official OpenAI client, unmodified, sync and async, through the gateway to upstreams of every dialect."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal

import openai
import pydantic
import pytest
from tests.gateway.conftest import Bench, Running

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.load.calls import Evidence, Status
from baseload.load.facts import Operation
from baseload.settings import Timeouts
from baseload.usage import Usage

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a base load?"}]
WORDS = 2 + 5
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a word up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string"}, "limit": {"type": "integer", "minimum": 3}},
            "required": ["word", "limit"],
            "additionalProperties": False,
        },
    },
}
ALL = pytest.mark.parametrize("serves", ["everything", "chats", "Anthropic"])
KEEPS = pytest.mark.parametrize("serves", ["everything", "OpenAI"])
FLAT_TOOL = {"type": "function", **TOOL["function"], "strict": True}


class Verdict(pydantic.BaseModel):
    """What an answer has to be."""

    word: str
    sure: bool
    places: list[int]


@ALL
class TestChat:
    async def test_an_answer(self, bench: Bench, serves: str) -> None:
        simulated, gateway = await bench.before_simulated(serves)
        answer = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, max_tokens=7)
        assert answer.choices[0].message.content.split() == ["word"] * 7
        assert answer.choices[0].finish_reason == "length"
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (WORDS, 7)
        (call,) = bench.spool.calls
        assert call.usage == Usage(input_tokens=WORDS, output_tokens=7)
        assert call.attempts[0].evidence is Evidence.REPORTED
        assert (simulated.count.prompt_tokens, simulated.count.completion_tokens) == (WORDS, 7)

    @pytest.mark.parametrize("asked", [False, True])
    async def test_a_stream(self, bench: Bench, serves: str, asked: bool) -> None:
        _, gateway = await bench.before_simulated(serves)
        more = {"stream_options": {"include_usage": True}} if asked else {}
        stream = await gateway.client().chat.completions.create(
            model="auto", messages=MESSAGES, max_tokens=7, stream=True, **more
        )
        events = [event async for event in stream]
        text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
        assert text.split() == ["word"] * 7
        assert [event.choices[0].finish_reason for event in events if event.choices][-1] == "length"
        assert [event.usage.completion_tokens for event in events if event.usage] == ([7] if asked else [])
        assert bench.spool.calls[0].usage == Usage(input_tokens=WORDS, output_tokens=7)

    async def test_a_tool(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        client = gateway.client()
        choice = {"type": "function", "function": {"name": "look_up"}}
        more = {"model": "auto", "tools": [TOOL], "tool_choice": choice}
        answer = await client.chat.completions.create(messages=MESSAGES, **more)
        (call,) = answer.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("look_up", '{"word":"word","limit":3}')
        assert answer.choices[0].finish_reason == "tool_calls"
        said = [
            *MESSAGES,
            answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "It is what is always needed."},
        ]
        after = await client.chat.completions.create(messages=said, model="auto", tools=[TOOL], max_tokens=2)
        assert after.choices[0].message.content == "word word"

    async def test_a_tool_in_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        async with gateway.client().chat.completions.stream(
            model="auto", messages=MESSAGES, tools=[TOOL], tool_choice="required"
        ) as stream:
            async for _ in stream:
                pass
            message = (await stream.get_final_completion()).choices[0].message
        (call,) = message.tool_calls
        assert (call.function.name, call.function.arguments) == ("look_up", '{"word":"word","limit":3}')

    async def test_a_schema(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        answer = await gateway.client().chat.completions.parse(model="auto", messages=MESSAGES, response_format=Verdict)
        assert answer.choices[0].message.parsed == Verdict(word="word", sure=False, places=[])
        assert bench.spool.calls[0].facts.needs == {"json_schema"}


@ALL
class TestResponses:
    async def test_an_answer(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        answer = await gateway.client().responses.create(
            model="auto", instructions="Be brief.", input="What is a base load?", max_output_tokens=16
        )
        assert answer.output_text.split() == ["word"] * 16
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (WORDS, 16)
        assert bench.spool.calls[0].usage == Usage(input_tokens=WORDS, output_tokens=16)
        assert bench.spool.calls[0].facts.operation == "responses"

    async def test_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        stream = await gateway.client().responses.create(
            model="auto", input="What is a base load?", max_output_tokens=16, stream=True
        )
        events = [event async for event in stream]
        assert (events[0].type, events[-1].type) == ("response.created", "response.incomplete")
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert deltas.split() == events[-1].response.output_text.split() == ["word"] * 16
        assert [event.sequence_number for event in events] == sorted(event.sequence_number for event in events)
        assert bench.spool.calls[0].usage.output_tokens == events[-1].response.usage.output_tokens == 16

    async def test_the_librarys_own_reader_of_streams(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        asked = {"model": "auto", "input": "Say.", "text_format": Verdict}
        async with gateway.client().responses.stream(**asked) as stream:
            final = await stream.get_final_response()
        assert final.output_parsed == Verdict(word="word", sure=False, places=[])

    async def test_a_tool(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        answer = await gateway.client().responses.create(
            model="auto", input="Look.", tools=[FLAT_TOOL], tool_choice="required"
        )
        (call,) = [item for item in answer.output if item.type == "function_call"]
        assert (call.name, call.arguments) == ("look_up", '{"word":"word","limit":3}')

    async def test_a_schema(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        answer = await gateway.client().responses.parse(model="auto", input="Say.", text_format=Verdict)
        assert answer.output_parsed == Verdict(word="word", sure=False, places=[])


@KEEPS
class TestKept:
    async def test_what_follows_up_reaches_the_upstream_that_made_it(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        client = gateway.client()
        first = await client.responses.create(model="auto", input="one two", max_output_tokens=16)
        assert (await client.responses.retrieve(first.id)).output_text == first.output_text
        items = await client.responses.input_items.list(first.id)
        assert items.data[0].content[0].text == "one two"
        after = await client.responses.create(model="auto", input="three", previous_response_id=first.id)
        assert after.previous_response_id == first.id
        assert bench.spool.calls[1].facts.keeper == "u0"
        assert after.usage.input_tokens == 2 + 16 + 1
        await client.responses.cancel(after.id)
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.retrieve(first.id)
        assert "not found" in str(caught.value)
        assert len(bench.spool.calls) == 2

    async def test_a_stream_is_kept_under_its_name_too(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        client = gateway.client()
        async with client.responses.stream(model="auto", input="one two") as stream:
            final = await stream.get_final_response()
        assert (await client.responses.retrieve(final.id)).id == final.id

    async def test_what_is_not_to_be_kept_is_not_remembered(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        client = gateway.client()
        made = await client.responses.create(model="auto", input="one two", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model="auto", input="three", previous_response_id=made.id)
        assert caught.value.code == "previous_response_not_found"


class TestOther:
    async def test_completions(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated()
        client = gateway.client()
        answer = await client.completions.create(model="real", prompt="one two", max_tokens=3)
        assert (answer.choices[0].text, answer.usage.total_tokens) == ("word word word", 5)
        stream = await client.completions.create(model="real", prompt=["one two"], max_tokens=3, stream=True)
        events = [event async for event in stream]
        assert "".join(event.choices[0].text for event in events).split() == ["word"] * 3
        assert all(event.usage is None for event in events)
        assert [call.usage for call in bench.spool.calls] == [Usage(input_tokens=2, output_tokens=3)] * 2

    async def test_embeddings(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated()
        client = gateway.client()
        for encoding in ({}, {"encoding_format": "float"}):  # left out, the library asks for base64 and decodes it
            answer = await client.embeddings.create(model="real", input=["one two", "three"], dimensions=4, **encoding)
            assert [each.embedding for each in answer.data] == [[0, 0, 1, 0], [0, 1, 0, 0]]
        call = bench.spool.calls[0]
        assert (call.usage, call.cost_nanousd) == (Usage(input_tokens=3), 3_000)

    async def test_a_batch_fits_where_its_longest_text_fits(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated(changes={"context_tokens": 40})
        client, text = gateway.client(), "word " * 30  # 38 tokens by our estimate
        batch = {"embeddings": {"input": [text] * 50}, "completions": {"prompt": [text] * 50, "max_tokens": 2}}
        for kind, asked in batch.items():
            assert await getattr(client, kind).create(model="real", **asked)
        longer = {"embeddings": {"input": ["x", text * 2]}, "completions": {"prompt": [text, text], "max_tokens": 3}}
        for kind, asked in longer.items():
            with pytest.raises(openai.BadRequestError, match="tokens of context, has 40"):
                await getattr(client, kind).create(model="real", **asked)

    async def test_embeddings_have_no_output_price_and_need_none(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated()
        rates = Rates(input=Decimal("0.02"), output=None)
        source = Source("test", Precedence.YOURS, date(2026, 1, 1), "this file")
        gateway.gateway.swap(
            gateway.gateway._settings.policy, {"u0/real": Offer("u0", "real", source, (PriceRow(rates),))}
        )
        await gateway.client().embeddings.create(model="real", input=["one two", "three"])
        (call,) = bench.spool.calls
        assert call.decision.routes[0].expected_nanousd is not None
        assert call.cost_nanousd == 3 * 20
        await gateway.client().completions.create(model="real", prompt="one two", max_tokens=3)
        assert bench.spool.calls[1].decision.routes[0].expected_nanousd is None
        assert bench.spool.calls[1].cost_nanousd is None

    async def test_a_route_that_only_chats_does_not_embed(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated("chats", changes={"operations": frozenset({Operation.CHAT})})
        with pytest.raises(openai.BadRequestError, match="does not serve embeddings"):
            await gateway.client().embeddings.create(model="real", input="one")

    async def test_what_cannot_be_carried_over_is_refused_and_what_is_dropped_is_named(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated("Anthropic")
        client = gateway.client()
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="auto", messages=MESSAGES, n=2)
        assert caught.value.param == "n"
        assert bench.spool.calls == []
        answer = await client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES, seed=7)
        assert "seed" in answer.headers["x-baseload-dropped"]


ERRORS = [
    ("400", openai.BadRequestError, 400, "simulated 400"),
    ("404", openai.NotFoundError, 404, "simulated 404"),
    ("422", openai.UnprocessableEntityError, 422, "simulated 422"),
    ("401", openai.InternalServerError, 502, "refuses the gateway's own key"),
    ("429=7", openai.RateLimitError, 429, "simulated 429"),
    ("500", openai.InternalServerError, 502, "simulated 500"),
    ("529", openai.InternalServerError, 502, "simulated 529"),
    ("garbage", openai.InternalServerError, 502, "without an answer"),
    ("error", openai.InternalServerError, 502, "simulated error"),
    ("reset", openai.InternalServerError, 502, "closed"),
    ("cut", openai.InternalServerError, 502, "closed inside the answer"),
]


class TestErrors:
    @ALL
    @pytest.mark.parametrize(("fault", "kind", "status", "says"), ERRORS, ids=[row[0] for row in ERRORS])
    async def test_each_is_the_librarys_own(
        self, bench: Bench, serves: str, fault: str, kind: type[openai.APIStatusError], status: int, says: str
    ) -> None:
        _, gateway = await bench.before_simulated(serves, simulate=fault)
        client = gateway.client()
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.status_code == status
        assert says in caught.value.message
        assert caught.value.type is not None
        assert caught.value.request_id
        if fault == "429=7":
            assert caught.value.response.headers["retry-after"] == "7"
        with pytest.raises(kind):
            await client.responses.create(model="auto", input="one")

    @ALL
    async def test_a_stream_that_breaks_is_broken(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="cut=2")
        stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIConnectionError):
            async for _ in stream:
                pass
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.status, attempt.evidence) == (Status.CUT, Evidence.ESTIMATED)
        assert attempt.usage.output_tokens > 1

    @ALL
    async def test_an_error_inside_of_a_stream(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="error")
        stream = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="simulated error"):
            async for _ in stream:
                pass
        assert bench.spool.calls[0].status is Status.CUT

    @ALL
    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_upstream_that_does_not_count_is_estimated(self, bench: Bench, serves: str, stream: bool) -> None:
        _, gateway = await bench.before_simulated(serves, simulate="no-usage")
        answer = await gateway.client().chat.completions.create(model="auto", messages=MESSAGES, stream=stream)
        if stream:
            assert [event async for event in answer]
        (attempt,) = bench.spool.calls[0].attempts
        assert (attempt.evidence, attempt.status) == (Evidence.ESTIMATED, Status.OK)
        assert attempt.usage.output_tokens > 40

    @pytest.mark.parametrize("fault", ["hang", "slow=30"])
    async def test_an_upstream_that_is_too_slow(self, bench: Bench, fault: str) -> None:
        _, gateway = await bench.before_simulated(simulate=fault, timeouts=Timeouts(first_byte=0.2, idle=0.2))
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client().chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.status_code == 504

    async def test_a_client_that_is_impatient(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated(simulate="hang")
        with pytest.raises(openai.APITimeoutError):
            await gateway.client().with_options(timeout=0.2).chat.completions.create(model="auto", messages=MESSAGES)
        await asyncio.sleep(0.1)
        assert bench.spool.calls[0].status is Status.CLIENT_GONE

    async def test_a_task_that_is_cancelled(self, bench: Bench) -> None:
        _, gateway = await bench.before_simulated(simulate="hang=2")
        client = gateway.client()

        async def read() -> None:
            async for _ in await client.chat.completions.create(model="auto", messages=MESSAGES, stream=True):
                began.set()

        began = asyncio.Event()
        task = asyncio.create_task(read())
        await asyncio.wait_for(began.wait(), 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert bench.spool.calls[0].status is Status.CLIENT_GONE
        assert bench.spool.calls[0].attempts[0].usage.output_tokens > 1

    async def test_the_client_repeats_what_it_may(self, bench: Bench) -> None:
        simulated, gateway = await bench.before_simulated(simulate="429=0.01@2")
        client = gateway.client().with_options(max_retries=3)
        answer = await client.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=1)
        assert answer.choices[0].message.content == "word"
        assert len(bench.spool.calls) == 3
        assert simulated.count.requests == 1


class TestSync:
    @ALL
    async def test_everything_once(self, bench: Bench, serves: str) -> None:
        _, gateway = await bench.before_simulated(serves)
        assert await asyncio.to_thread(_everything, gateway) == ["word"] * 4
        assert [call.status for call in bench.spool.calls] == [Status.OK] * 4
        _, failing = await bench.before_simulated(serves, simulate="404")
        await asyncio.to_thread(_refused, failing)


def _everything(gateway: Running) -> list[str]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0) as client:
        whole = client.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=1)
        stream = client.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=1, stream=True)
        parts = "".join(event.choices[0].delta.content or "" for event in stream if event.choices)
        response = client.responses.create(model="auto", input="one", max_output_tokens=16)
        events = client.responses.create(model="auto", input="one", max_output_tokens=16, stream=True)
        last = list(events)[-1].response
        texts = [whole.choices[0].message.content, parts, response.output_text, last.output_text]
        return [text.split()[0] for text in texts]


def _refused(gateway: Running) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="simulated 404"):
            client.chat.completions.create(model="auto", messages=MESSAGES)
        with pytest.raises(openai.NotFoundError, match="does not exist here"):
            client.chat.completions.create(model="gpt-9", messages=MESSAGES)
