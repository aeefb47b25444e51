"""OpenTelemetry spans of calls to models, from files of OTLP in JSON or protobuf. Pure.

Names are those of the semantic conventions for generative AI v1.41, with the older ones and OpenInference's read too.
Token counts in them are totals whose cached and reasoning parts are subsets. A call that a gateway and an SDK both
traced is one call: both spans carry the id of the response. Our own gateway's spans of a call and of its attempts are
told apart; the attempt's is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from baseload.imports.entry import Asked, Entry, Format, Item, Skipped, each_of
from baseload.imports.fields import Row, cost, count, mapping, moment, name, needed, rows, tagged
from baseload.imports.otlp import is_protobuf, spans_of
from baseload.imports.records import Record, Stream, records
from baseload.load.calls import Status
from baseload.load.facts import Operation
from baseload.load.trace import MOST_TOKENS
from baseload.usage import Usage, leaves

_OPERATIONS = {
    "chat": Operation.CHAT,
    "generate_content": Operation.CHAT,
    "text_completion": Operation.COMPLETIONS,
    "embeddings": Operation.EMBEDDINGS,
}
_INPUT = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
)
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_THOUGHT = ("gen_ai.usage.reasoning.output_tokens", "llm.token_count.completion_details.reasoning")
_MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.request.model")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_COST = ("gen_ai.usage.cost.amount", "gen_ai.usage.cost", "llm.cost.total")
_KINDS = ("stringValue", "intValue", "doubleValue", "boolValue")
_FAILED = 2
_HEAD = 1 << 12


def _read(row: Row, _: Asked) -> Iterator[Item]:
    resource = _attributes(mapping(row.get("resource")).get("attributes"))
    scopes = rows(row.get("scopeSpans") or row.get("scope_spans"))
    for scope in scopes:
        yield from each_of(rows(scope.get("spans")), lambda span: _span(span, resource))
    if not scopes:
        yield Skipped("resource spans without a span")


def _span(span: Row, resource: dict[str, Any]) -> Item:
    about = _attributes(span.get("attributes"))
    model = name(_first(about, _MODEL), "gen_ai.request.model")
    spoken = name(_first(about, ("gen_ai.operation.name",)), "gen_ai.operation.name")
    counted = any(each in about for each in (*_INPUT, *_OUTPUT))
    if not model or (spoken and spoken not in _OPERATIONS) or not (counted or spoken):
        return Skipped("a span that asks no model")
    if "baseload.call.id" in about and "baseload.attempt" not in about:
        return Skipped("a call of Baseload, whose attempts are spans of their own")
    at_ns = moment(span.get("startTimeUnixNano") or span.get("start_time_unix_nano"), "startTimeUnixNano")
    ended_ns = moment(span.get("endTimeUnixNano") or span.get("end_time_unix_nano"), "endTimeUnixNano")
    if ended_ns < at_ns:
        raise ValueError("endTimeUnixNano is before startTimeUnixNano")
    chunk = _first(about, ("gen_ai.response.time_to_first_chunk",))
    response = name(about.get("gen_ai.response.id"), "gen_ai.response.id")
    failed = mapping(span.get("status")).get("code") in (_FAILED, "STATUS_CODE_ERROR")
    return Entry(
        id=response or needed(span.get("spanId") or span.get("span_id"), "spanId"),
        at_ns=at_ns,
        stamp_ns=0 if response else at_ns,
        ended_ns=ended_ns,
        first_ns=_first_byte(chunk, at_ns, ended_ns),
        model=model,
        asked=name(about.get("gen_ai.request.model"), "gen_ai.request.model"),
        provider=name(_first(about, _PROVIDER), "gen_ai.provider.name"),
        usage=_usage(about),
        usd=_usd(about),
        status=Status.FAILED if failed else Status.OK,
        stream=chunk is not None or about.get("gen_ai.request.stream") is True,
        operation=_OPERATIONS.get(spoken, Operation.CHAT),
        tags=tagged(
            {
                "service": name(resource.get("service.name"), "service.name"),
                "environment": name(resource.get("deployment.environment.name"), "deployment.environment.name"),
                "session": name(about.get("gen_ai.conversation.id"), "gen_ai.conversation.id"),
                "user": name(about.get("user.id"), "user.id"),
            }
        ),
    )


def _attributes(listed: object) -> dict[str, Any]:
    """The plain values of a list of attributes."""
    found = {}
    for each in rows(listed):
        held, key = mapping(each.get("value")), each.get("key")
        kind = next((kind for kind in _KINDS if kind in held), None)
        if isinstance(key, str) and kind is not None:
            found[key] = held[kind]
    return found


def _first(about: dict[str, Any], names: tuple[str, ...]) -> object:
    return next((about[each] for each in names if about.get(each) not in (None, "")), None)


def _first_byte(seconds: object, at_ns: int, ended_ns: int) -> int | None:
    """When the first chunk came: a time in seconds after the start."""
    if not isinstance(seconds, int | Decimal) or isinstance(seconds, bool):
        return None
    first = at_ns + int(Decimal(seconds).scaleb(9)) if 0 <= seconds < 10**6 else None
    return None if first is None else min(first, ended_ns)


def _usage(about: dict[str, Any]) -> Usage:
    def counted(names: tuple[str, ...]) -> int:
        return count(_first(about, names), names[0], MOST_TOKENS)

    return leaves(
        prompt=counted(_INPUT),
        completion=counted(_OUTPUT),
        cache_read=counted(_READ),
        cache_write=counted(_WRITE),
        reasoning=counted(_THOUGHT),
    )


def _usd(about: dict[str, Any]) -> Decimal | None:
    currency = name(about.get("gen_ai.usage.cost.currency"), "gen_ai.usage.cost.currency")
    return cost(_first(about, _COST), _COST[0]) if currency in ("", "USD") else None


def _records(stream: Stream, file: str, into: Sequence[str]) -> Iterator[Record]:
    return spans_of(stream) if is_protobuf(stream.peek(_HEAD)) else records(stream, file, into)


FORMAT = Format(
    name="otel",
    title="OTLP spans in JSON or protobuf",
    read=_read,
    into=("resourceSpans", "resource_spans"),
    columns=(frozenset({"resource", "scopeSpans", "scope_spans"}),),
    records=_records,
)
