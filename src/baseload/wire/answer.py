"""What an upstream's answer says: whether it is one, what it consumed, what it wrote, what it complains of. Pure.

Nothing here trusts an upstream. What cannot be read is not there, and one bad field does not hide its neighbours.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from baseload.usage import Usage, leaves

BYTES_PER_TOKEN = 4
"""About four characters of English text make a token (OpenAI, "What are tokens and how to count them?", read 2026-11).
Used for the estimate that routes a request and for what a stream that was cut had delivered; never where an upstream
reports its own count."""

MAX_TOKENS = 10**8
"""A count beyond this is no count: a hundred times the longest context on sale (1,048,576 tokens, read 2026-11)."""

MAX_TIER = 32
"""Characters of the name of a service tier that are kept."""

# What providers call the tier that nobody has to ask for: OpenAI `default` (and `auto`, which says nothing), Anthropic
# `standard`, Groq `on_demand` (their API references, read 2026-11).
_STANDARD_WORDS = frozenset(("", "default", "standard", "auto", "on_demand"))
_STANDARD = frozenset((b"null", *(f'"{word}"'.encode() for word in _STANDARD_WORDS)))
_TIER_KEY = b'"service_tier"'

# A price that a program wrote: up to a hundred million dollars, to the 24th place, also as 1.2e-05.
_USD = re.compile(rb"[0-9]{1,8}(?:\.[0-9]{1,24})?(?:[eE]-[0-9]{1,2})?")

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]

_Decoded = TypeVar("_Decoded")
Counts = dict[str, object]
"""The values of an object: decoded, or as `msgspec.Raw` where one of them cannot be."""
NOTHING = (b"", b"null", b"[]", b'""')


class Written(msgspec.Struct):
    """What a message or a delta holds that a model wrote."""

    content: msgspec.Raw = msgspec.Raw(b"")
    refusal: msgspec.Raw = msgspec.Raw(b"")
    reasoning_content: msgspec.Raw = msgspec.Raw(b"")
    reasoning: msgspec.Raw = msgspec.Raw(b"")  # the same, as some upstreams call it
    tool_calls: msgspec.Raw = msgspec.Raw(b"")

    @property
    def length(self) -> int:
        """Characters of its texts, bytes of its tool calls."""
        calls = bytes(self.tool_calls)
        thought = text_length(bytes(self.reasoning_content)) or text_length(bytes(self.reasoning))
        texts = text_length(bytes(self.content)) + text_length(bytes(self.refusal)) + thought
        return texts + (len(calls) if calls not in NOTHING else 0)


class Choice(msgspec.Struct):
    """One choice of a whole answer (`message`), of a chunk (`delta`), or of a text completion (`text`)."""

    message: Written | None = None
    delta: Written | None = None
    text: msgspec.Raw = msgspec.Raw(b"")

    @property
    def length(self) -> int:
        plain = bytes(self.text)
        said = sum(each.length for each in (self.message, self.delta) if each is not None)
        return said + (text_length(plain) if plain else 0)


class Answered(msgspec.Struct, frozen=True):
    """A whole answer: what it says it consumed, None when it does not say; an estimate of the tokens it wrote, which
    may be 0 where it counts them itself.

    `provider_usd` is what the provider says it charges, where it says so. `made` is the id of an object that the
    upstream keeps: what follows up on it has to go to the same upstream. `service_tier` is the tier that it says
    processed it, empty for the standard one. `pending`: the upstream has only begun, and says no more by now.
    """

    usage: Usage | None
    written_tokens: int
    provider_usd: Decimal | None = None
    made: str | None = None
    service_tier: str = ""
    pending: bool = False


class _Document(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")


class _Cached(msgspec.Struct):
    cached_tokens: Count | None = None


class _Thought(msgspec.Struct):
    reasoning_tokens: Count = 0


class _Plain(msgspec.Struct):
    """A usage as nearly every upstream writes it."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count = 0
    prompt_tokens_details: _Cached | None = None
    completion_tokens_details: _Thought | None = None


class _Part(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw(b"")


class _Error(msgspec.Struct):
    message: str = ""


class _Complaint(msgspec.Struct):
    error: _Error | str = ""
    detail: str = ""
    message: str = ""


class _Fault(msgspec.Struct):
    error: _Error | str | None = None


_DOCUMENT = msgspec.json.Decoder(_Document)
_PLAIN = msgspec.json.Decoder(_Plain)
_CHOICES = msgspec.json.Decoder(list[Choice])
_COMPLAINT = msgspec.json.Decoder(_Complaint)
_FAULT = msgspec.json.Decoder(_Fault)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_COUNTS = msgspec.json.Decoder(dict[str, object])
_NUMBER = msgspec.json.Decoder(int | float)
_TEXT = msgspec.json.Decoder(str)
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_PART = msgspec.json.Decoder(_Part)
_ANY = msgspec.json.Decoder(msgspec.Raw)


def decoded(decoder: msgspec.json.Decoder[_Decoded], data: bytes) -> _Decoded | None:
    """What bytes from an upstream say; None when they are not JSON, nested too deep, or of another shape.

    A byte that is not UTF-8 is read as a replacement character: a garbled word must not hide the usage beside it.
    """
    try:
        try:
            return decoder.decode(data)
        except UnicodeDecodeError:
            return decoder.decode(data.decode(errors="replace").encode())
    except (msgspec.DecodeError, RecursionError):
        return None


def read_answer(answer: bytes) -> Answered | None:
    """What a whole JSON answer consumed and wrote; None when it is no chat completion (an error, a page, nothing)."""
    document = decoded(_DOCUMENT, answer)
    if document is None or bytes(document.choices) == b"null":
        return None
    counts, tier = bytes(document.usage), bytes(document.service_tier)
    usage = usage_in(counts)
    counted = usage is not None and (usage.output_tokens or usage.reasoning_tokens)
    written = 0 if counted else tokens_in(choices_length(bytes(document.choices)))
    if tier in _STANDARD and b'"cost"' not in counts and _TIER_KEY not in counts:  # as nearly every one is
        return Answered(usage, written)
    return Answered(usage, written, usd_in(counts), service_tier=tier_in(tier) or tier_in_usage(counts))


def choices_length(choices: bytes) -> int:
    """Characters that the choices of an answer or a chunk hold; of a shape nobody knows, its bytes."""
    found = decoded(_CHOICES, choices)
    if found is None:
        return len(choices) if choices not in NOTHING else 0
    return sum(choice.length for choice in found)


def usage_in(raw: bytes, prompt: str = "prompt_tokens", completion: str = "completion_tokens") -> Usage | None:
    """A `usage` object in leaf units: the upstream counts cached inside prompt, reasoning inside completion.

    None without a count of the prompt. Any other count that is none (negative, a fraction, beyond MAX_TOKENS) is zero.
    """
    if prompt == "prompt_tokens" and (plain := _plain_usage(raw)) is not None:
        return plain
    counts = counts_in(raw)
    read = count_in(counts, prompt)
    if read is None:
        return None
    of_read, of_written = inside(counts, f"{prompt}_details"), inside(counts, f"{completion}_details")
    written = count_in(counts, completion) or 0
    reasoning = count_in(of_written, "reasoning_tokens") or 0
    # xAI counts reasoning beside the completion and not inside, and its total tells (radkit, GrokLlm, read 2026-11).
    beside = reasoning and count_in(counts, "total_tokens") == read + written + reasoning
    stored, stored_1h = _cache_write(counts, of_read) if b'"cache_' in raw else (0, 0)
    return leaves(
        prompt=read,
        completion=written + (reasoning if beside else 0),
        cache_read=_cache_read(counts, of_read),
        cache_write=stored - stored_1h,
        cache_write_1h=stored_1h,
        reasoning=reasoning,
    )


def _plain_usage(raw: bytes) -> Usage | None:
    """What `usage_in` says of a usage that is nothing out of the ordinary, in one look; else None."""
    if b"cache_" in raw:
        return None
    try:
        counts = _PLAIN.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    read, written = counts.prompt_tokens_details, counts.completion_tokens_details
    cached = read.cached_tokens if read is not None else None
    if raw.count(b'"cached_tokens"') != (cached is not None):
        return None  # it stands in another place, too
    thought = written.reasoning_tokens if written is not None else 0
    if thought and counts.total_tokens != counts.prompt_tokens + counts.completion_tokens:
        return None  # whether it stands inside or beside takes a closer look
    if not (cached or thought):
        return Usage(input_tokens=counts.prompt_tokens, output_tokens=counts.completion_tokens)
    return leaves(
        prompt=counts.prompt_tokens, completion=counts.completion_tokens, cache_read=cached or 0, reasoning=thought
    )


def usd_in(usage: bytes) -> Decimal | None:
    """What a `usage` object says the call costs, in US dollars; None when it does not say.

    OpenRouter's `cost` counts credits of one dollar each (OpenRouter, Usage Accounting, read 2026-11). Perplexity's
    holds a currency and a sum (perplexity-py, types/responses_usage.py, read 2026-11-21).
    """
    if b'"cost"' not in usage:
        return None
    cost = bytes(fields_in(usage).get("cost", b""))
    if cost.startswith(b"{"):
        parts = fields_in(cost)
        cost = bytes(parts.get("total_cost", b"")) if bytes(parts.get("currency", b"")) == b'"USD"' else b""
    return Decimal(cost.decode()) if _USD.fullmatch(cost) else None


def tier_in(raw: bytes) -> str:
    """A `service_tier` in lower case; empty for the standard one, and for what is no word.

    >>> tier_in(b'"flex"'), tier_in(b'"default"'), tier_in(b"null"), tier_in(b'"Scale"')
    ('flex', '', '', 'scale')
    """
    if raw in _STANDARD or not raw.startswith(b'"'):
        return ""
    word = (decoded(_TEXT, raw) or "").strip().lower()
    return "" if word in _STANDARD_WORDS else "".join(each for each in word if each.isprintable())[:MAX_TIER]


def tier_in_usage(raw: bytes) -> str:
    """The tier where it stands inside the usage, as Anthropic writes it."""
    if _TIER_KEY not in raw:
        return ""
    counts = fields_in(raw)
    return tier_in(bytes(counts["service_tier"])) if "service_tier" in counts else ""


def complaint(answer: bytes) -> str:
    """What an error answer says, in the shapes that upstreams use; its first line when it is not JSON."""
    found = decoded(_COMPLAINT, answer)
    if found is None:
        return answer[:200].decode(errors="replace").partition("\n")[0].strip()
    error = found.error if isinstance(found.error, str) else found.error.message
    return error or found.message or found.detail


def fault(answer: bytes) -> str:
    """The error that stands in what should have been an answer; empty where none does. Nothing else of it is quoted:
    it may be what a model wrote.

    >>> fault(b'{"error":{"message":"busy"}}'), fault(b'{"message":{"content":"a secret"}}'), fault(b"a secret")
    ('busy', '', '')
    """
    found = decoded(_FAULT, answer)
    error = found.error if found is not None else None
    return error if isinstance(error, str) else error.message if error is not None else ""


def is_json(answer: bytes) -> bool:
    """Whether an answer is a whole JSON document."""
    return decoded(_ANY, answer) is not None


def text_length(raw: bytes) -> int:
    """Characters of a content in JSON: a text, or the texts among a list of parts."""
    if raw.startswith(b"["):
        parts = [decoded(_PART, bytes(part)) for part in decoded(_PARTS, raw) or ()]
        return sum(_characters(bytes(part.text)) for part in parts if part is not None)
    return _characters(raw)


def tokens_in(length: int) -> int:
    """An estimate of the tokens in a text of `length` bytes or characters, rounded up.

    >>> tokens_in(0), tokens_in(1), tokens_in(4_000)
    (0, 1, 1000)
    """
    return -(-length // BYTES_PER_TOKEN)


def _cache_read(counts: Counts, of_prompt: Counts) -> int:
    """Tokens of the prompt that came from a cache: OpenAI's place for them; among the details Perplexity's
    (perplexity-py, types/responses_usage.py; that they are part of the prompt it does not say); and beside the totals
    DeepSeek's (Context Caching guide), Moonshot's (its own client, MoonshotAI/kimi-cli, kosong/chat_provider/kimi.py)
    and LiteLLM's (Prompt Caching page; all read 2026-11)."""
    return (
        count_in(of_prompt, "cached_tokens")
        or count_in(of_prompt, "cache_read_input_tokens")
        or count_in(counts, "prompt_cache_hit_tokens")
        or count_in(counts, "cached_tokens")
        or count_in(counts, "cache_read_input_tokens")
        or 0
    )


def _cache_write(counts: Counts, of_prompt: Counts) -> tuple[int, int]:
    """Tokens of the prompt that were stored in a cache, and how many of them for an hour: as OpenAI and OpenRouter
    count them (`cache_write_tokens`; API reference and Usage Accounting), as LiteLLM passes Anthropic's on (Prompt
    Caching page), and as Perplexity does (types/responses_usage.py; all read 2026-11)."""
    for_an_hour = count_in(inside(of_prompt, "cache_creation_token_details"), "ephemeral_1h_input_tokens") or 0
    stored = (
        count_in(of_prompt, "cache_write_tokens")
        or count_in(of_prompt, "cache_creation_tokens")
        or count_in(of_prompt, "cache_creation_input_tokens")
        or count_in(counts, "cache_creation_input_tokens")
        or for_an_hour
    )
    return stored, min(stored, for_an_hour)


def _characters(raw: bytes) -> int:
    text = decoded(_TEXT, raw) if raw.startswith(b'"') else None
    return len(text) if text is not None else 0


def fields_in(raw: bytes) -> dict[str, msgspec.Raw]:
    """The values of an object, undecoded; none when it is no object."""
    return decoded(_FIELDS, raw) or {}


def counts_in(raw: bytes) -> Counts:
    """The values of an object of counts; none when it is no object. One that cannot be read does not hide the others:
    they are then left undecoded."""
    found: Counts | None = decoded(_COUNTS, raw)
    return found if found is not None else dict(fields_in(raw))


def inside(counts: Counts, name: str) -> Counts:
    """The values of an object inside of another."""
    value = counts.get(name)
    if isinstance(value, dict):
        return value
    return counts_in(bytes(value)) if isinstance(value, msgspec.Raw) else {}


def count_in(counts: Counts, name: str) -> int | None:
    """A number of tokens, also where a program wrote it as 100.0."""
    number = counts.get(name)
    if isinstance(number, msgspec.Raw):
        number = decoded(_NUMBER, bytes(number))
    if type(number) is int:
        return number if 0 <= number <= MAX_TOKENS else None
    if isinstance(number, float) and 0 <= number <= MAX_TOKENS and number.is_integer():
        return int(number)
    return None
