"""One request as a benchmark asks it, and what was seen of its answer. Acts.

Tokens are those that the endpoint says it read and wrote. A prompt is words of chance behind an opening of its own, so
that no prefix cache knows it; how many tokens a word makes is learnt from the endpoint's own count.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from random import Random

import msgspec

from baseload.errors import UpstreamUnreachable
from baseload.measure.endpoint import OK, Broken, Endpoint
from baseload.usage import Usage
from baseload.wire.answer import complaint, usage_in

# The longest event that is held while its end is awaited.
EVENT_BYTES = 16 * 1024 * 1024
TOO_MANY = "429"
_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprst"


@dataclass(slots=True)
class Sample:
    """What was seen of one request, in seconds of the machine's steady clock. `error` is its kind, empty when it was
    answered whole; `said` is the endpoint's own word."""

    started: float
    first: float = 0.0
    ended: float = 0.0
    events: list[float] = field(default_factory=list)
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    connect_seconds: float = 0.0
    error: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint understands beside the common fields, and how many words make how many tokens there."""

    extra: dict[str, object] = field(default_factory=dict)
    cap: str = "max_tokens"
    minimum: bool = False
    tokens_per_word: float = 1.0
    tokens_beside: float = 0.0

    def words(self, tokens: int) -> int:
        """How many words make a prompt of so many tokens."""
        return max(1, round((tokens - self.tokens_beside) / self.tokens_per_word))


class Words:
    """Words of chance, the same for a seed; `shared` of them open every prompt alike where a cache is to be met."""

    def __init__(self, seed: int, shared: int = 0) -> None:
        self._random = Random(seed)  # noqa: S311 - words, not secrets
        self._known = [self._word() for _ in range(4096)]
        self._shared = self._random.choices(self._known, k=shared)

    def text(self, words: int) -> str:
        """A prompt of so many words."""
        shared = self._shared[: max(0, words - 1)]
        return " ".join([*shared, *self._random.choices(self._known, k=max(1, words - len(shared)))])

    def _word(self) -> str:
        pick = self._random.choice
        return "".join((pick(_CONSONANTS), pick(_VOWELS), pick(_CONSONANTS), pick(_VOWELS)))


class _Delta(msgspec.Struct):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: object = None

    @property
    def writes(self) -> bool:
        return bool(self.content or self.reasoning_content or self.reasoning or self.tool_calls)


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_EVENT = msgspec.json.Decoder(_Event)


class _Stream:
    """Reads the events of an answer as its pieces come."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._rest = b""
        self.usage: Usage | None = None
        self.done = False
        self.fault = ""
        self.said = ""

    def feed(self, piece: bytes, at: float) -> None:
        data = (self._rest + piece).replace(b"\r\n", b"\n")
        *events, self._rest = data.split(b"\n\n")
        if len(self._rest) > EVENT_BYTES:
            self.fault, self._rest = "unreadable", b""
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    self._take(line[5:].strip(), at)

    def _take(self, data: bytes, at: float) -> None:
        if data == b"[DONE]":
            self.done = True
            return
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.fault = "unreadable"
            return
        if bytes(event.error) != b"null":
            self.fault, self.said = "error in the stream", complaint(data)
        if event.choices and any(choice.delta.writes for choice in event.choices):
            self._sample.events.append(at)
        self.usage = usage_in(bytes(event.usage)) or self.usage


class Asker:
    """Asks one endpoint for one model's answers."""

    def __init__(self, endpoint: Endpoint, model: str, words: Words, dialect: Dialect, *, timeout: float) -> None:
        self.endpoint = endpoint
        self.dialect = dialect
        self._model = model
        self._words = words
        self._timeout = timeout

    async def ask(self, input_tokens: int, output_tokens: int) -> Sample:
        """Send one request and see it to its end. Never raises for what the endpoint does."""
        body = self.body(self.dialect.words(input_tokens), output_tokens)
        sample = Sample(time.perf_counter())
        stream = _Stream(sample)
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self.endpoint.post("/chat/completions", body, stream.feed)
        except TimeoutError:
            sample.error = "timeout"
        except UpstreamUnreachable as error:
            sample.error, sample.said = "connect", error.message
        except Broken as error:
            sample.error = "" if stream.done else ("broken stream" if error.began else "no answer")
        else:
            sample.connect_seconds = reply.connect_seconds
            if reply.status != OK:
                sample.error, sample.said = (
                    f"{reply.status}",
                    complaint(reply.body) or reply.body[:200].decode("latin-1"),
                )
        return _closed(sample, stream)

    def body(self, words: int, output_tokens: int) -> bytes:
        """The request as bytes."""
        fields: dict[str, object] = {
            "model": self._model,
            "messages": [{"role": "user", "content": self._words.text(words)}],
            self.dialect.cap: output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.dialect.extra,
        }
        if self.dialect.minimum:
            fields["min_tokens"] = output_tokens
        return msgspec.json.encode(fields)


def _closed(sample: Sample, stream: _Stream) -> Sample:
    """The sample with what its stream told. The time to connect is not the endpoint's to answer for."""
    sample.ended = time.perf_counter()
    sample.started += sample.connect_seconds
    sample.first = sample.events[0] if sample.events else 0.0
    if not sample.error:
        sample.error, sample.said = stream.fault, stream.said or sample.said
    usage = stream.usage
    if usage is not None:
        sample.input_tokens, sample.cached_tokens = usage.prompt_tokens, usage.cache_read_tokens
        sample.output_tokens = usage.completion_tokens
    if not sample.error and usage is None:
        sample.error = "no usage"
    if not sample.error and not sample.events:
        sample.error = "nothing written"
    return sample
