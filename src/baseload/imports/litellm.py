"""LiteLLM's spend logs: the table `LiteLLM_SpendLogs` as CSV (`\\copy`), JSON lines or a JSON list. Pure.

Its times are UTC without saying so. Cached and reasoning tokens stand in `metadata.usage_object` alone. `spend` is what
LiteLLM computed, kept beside our own price. A row with `cache_hit` bought nothing. Prompts and answers are not read.
(schema.prisma of BerriAI/litellm, read 2026-11.)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from functools import lru_cache
from typing import Any

import msgspec

from baseload.imports.entry import Asked, Entry, Format, Item, Skipped
from baseload.imports.fields import Row, cost, count, hidden, mapping, moment, name, needed, tagged
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.load.trace import MOST_TOKENS
from baseload.usage import Usage, leaves
from baseload.wire.asked import labels

_OPERATIONS = {
    "completion": Operation.CHAT,
    "text_completion": Operation.COMPLETIONS,
    "embedding": Operation.EMBEDDINGS,
    "responses": Operation.RESPONSES,
    "anthropic_messages": Operation.MESSAGES,
    "generate_content": Operation.CHAT,
    "": Operation.CHAT,
}
_YES = frozenset({"true", "t", "1", "yes"})


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Used(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_token_details: _Written | None = None


class _Metadata(msgspec.Struct):
    usage_object: _Used | None = None
    status: str | None = None
    user_api_key_alias: str | None = None
    error_information: Any = None


_metadata = msgspec.json.Decoder(_Metadata, strict=False)
_json = msgspec.json.decode


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    call_type = name(row.get("call_type"), "call_type")
    operation = _OPERATIONS.get(call_type.removeprefix("a") if call_type != "anthropic_messages" else call_type)
    if operation is None:
        yield Skipped(f"{call_type} is no request for text")
        return
    written = needed(row.get("startTime"), "startTime")
    stamp_ns = moment(written, "startTime")
    at_ns = stamp_ns if asked.zone is UTC else moment(written, "startTime", asked.zone)
    ended = row.get("endTime") or written
    ended_ns = at_ns if ended == written else moment(ended, "endTime", asked.zone)
    if ended_ns < at_ns:
        raise ValueError("endTime is before startTime")
    first = row.get("completionStartTime")
    first_ns = moment(first, "completionStartTime", asked.zone) if first and first != ended else None
    about = _about(row.get("metadata"))
    failed = (name(row.get("status"), "status") or about.status or "") == "failure"
    stream = first_ns is not None and first_ns < ended_ns
    yield Entry(
        id=needed(row.get("request_id"), "request_id"),
        at_ns=at_ns,
        stamp_ns=stamp_ns,
        ended_ns=ended_ns,
        first_ns=first_ns if stream else None,
        model=name(row.get("model"), "model") or "unknown",
        asked=name(row.get("model_group"), "model_group"),
        provider=name(row.get("custom_llm_provider"), "custom_llm_provider"),
        usage=_usage(row, about.usage_object),
        usd=cost(row.get("spend"), "spend"),
        consumed=str(row.get("cache_hit") or "").lower() not in _YES,
        status=Status.FAILED if failed else Status.OK,
        stream=stream,
        operation=operation,
        tags=_tagged(row, about),
    )


def _about(value: object) -> _Metadata:
    if not value:
        return _Metadata()
    try:
        if isinstance(value, str):
            return _metadata.decode(value)
        return msgspec.convert(mapping(value), _Metadata, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise ValueError(f"metadata is no JSON object as LiteLLM writes it: {str(error)[:80]}") from error


def _usage(row: Row, used: _Used | None) -> Usage:
    """The leaves, from the totals of the row and the parts in its metadata."""
    prompt = count(row.get("prompt_tokens"), "prompt_tokens", MOST_TOKENS)
    completion = count(row.get("completion_tokens"), "completion_tokens", MOST_TOKENS)
    if used is None:
        return Usage(input_tokens=prompt, output_tokens=completion)
    asked, answered = used.prompt_tokens_details or _NONE, used.completion_tokens_details or _NONE
    read = used.cache_read_input_tokens or asked.cached_tokens
    written = used.cache_creation_input_tokens or asked.cache_creation_tokens
    apart = used.cache_creation_token_details
    hour = count(apart.ephemeral_1h_input_tokens if apart else 0, "ephemeral_1h_input_tokens", MOST_TOKENS)
    return leaves(
        prompt=prompt,
        completion=completion,
        cache_read=count(read, "cached_tokens", MOST_TOKENS),
        cache_write=max(0, count(written, "cache_creation_input_tokens", MOST_TOKENS) - hour),
        cache_write_1h=hour,
        reasoning=count(answered.reasoning_tokens, "reasoning_tokens", MOST_TOKENS),
    )


_NONE = _Details()


def _tagged(row: Row, about: _Metadata) -> dict[str, str]:
    pairs = {
        "team": name(row.get("team_id"), "team_id"),
        "organization": name(row.get("organization_id"), "organization_id"),
        "customer": name(row.get("end_user"), "end_user"),
        "user": name(row.get("user"), "user"),
        "session": name(row.get("session_id"), "session_id"),
        "key": name(about.user_api_key_alias, "user_api_key_alias") or hidden(row.get("api_key"), "api_key"),
    }
    asked = row.get("request_tags")
    if not asked or asked == "[]":
        return tagged(pairs)
    return tagged(pairs, _labels(asked) if isinstance(asked, str) else _listed(asked))


@lru_cache(maxsize=1 << 12)
def _labels(text: str) -> dict[str, str]:
    """Tags out of the JSON text of a list; the same few lists stand in a million rows."""
    try:
        return _listed(_json(text))
    except (msgspec.DecodeError, RecursionError):
        return {}


def _listed(value: object) -> dict[str, str]:
    """Tags as a list; of any other kind there are none."""
    try:
        found = msgspec.convert(value, list[str])
    except (msgspec.ValidationError, RecursionError):
        return {}
    return dict(labels(each for each in found if each.isprintable()))


FORMAT = Format(
    name="litellm",
    title="LiteLLM's spend logs",
    read=_read,
    into=("data", "logs"),
    columns=(frozenset({"request_id"}), frozenset({"startTime"}), frozenset({"spend"})),
)
