"""What a client asks, from body and headers: the Facts of a request, and the headers that go along upstream. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from baseload.errors import BadInput
from baseload.gateway.head import REQUEST_ID, Head, Headers, Request
from baseload.gateway.tagging import NO_TAGS, HeaderTags, add_tags, read_tags
from baseload.gateway.tagging import as_text as _text
from baseload.gateway.tracing import TRACEPARENT, read_trace
from baseload.load.buckets import bucket_of
from baseload.load.facts import Bucket, Facts
from baseload.policy.policy import Policy
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody

BUCKET = b"x-baseload-bucket"
USAGE_COST = b"x-baseload-usage-cost"
RESIDENCY = b"x-baseload-residency"
DEADLINE = b"x-baseload-deadline-seconds"
MOST_ID = 128
"""Characters of a client's own name for a request that are kept."""
LONGEST_SECONDS = 86_400
"""The longest deadline: no request takes a day."""

# Fields of the client that mean the same to an upstream. Its authorization is ours to give, never the client's.
_ALONG = frozenset((b"accept", b"user-agent", b"idempotency-key", b"tracestate", b"openai-beta"))
_ALONG |= {b"anthropic-version", b"anthropic-beta"}

BESIDE = frozenset(("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks"))
"""Fields by which a body names models beside its own."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a request say. `deadline_seconds` None when they name none; `along` goes upstream with it."""

    bucket: str
    residency: str
    deadline_seconds: float | None
    request_id: str
    trace: str
    traced: bool
    cost_asked: bool
    tags: HeaderTags
    along: Headers


def said(head: Head) -> Said:
    """What a head says, once for all requests that share it. Raises BadBody on a header that cannot be understood."""
    found: Said | None = head.known.get("said")
    if found is None:
        found = head.known["said"] = _said(head)
    return found


def _said(head: Head) -> Said:
    deadline = head.header(DEADLINE)
    return Said(
        bucket=_text(head.header(BUCKET) or b""),
        residency=_text(head.header(RESIDENCY) or b""),
        deadline_seconds=_seconds(_text(deadline)) if deadline is not None else None,
        request_id=_line(_text(head.id)),
        trace=read_trace(head.header(TRACEPARENT) or b""),
        traced=head.header(TRACEPARENT) is not None,
        cost_asked=(head.header(USAGE_COST) or b"").lower() in (b"true", b"1"),
        tags=read_tags(head.headers),
        along=tuple(field for field in head.headers if field[0] in _ALONG),
    )


def facts_of(asked: Asked, headers: Said, policy: Policy, at_ns: int, default: Bucket | None = None) -> Facts:
    """The request as the dispatcher sees it; `default` is its model's `default_bucket`, where that was found before.
    Raises BadBody on a bucket that is none."""
    tags = asked.tags
    if headers.tags is not NO_TAGS:
        add_tags(headers.tags, tags)
    return Facts(
        at_ns=at_ns,
        model=asked.model,
        bucket=_bucket(headers.bucket, tags, asked.model, policy, default),
        input_tokens=asked.input_tokens,
        output_cap=asked.output_cap,
        stream=asked.stream,
        needs=asked.needs,
        tags=tags,
        residency=headers.residency,
        operation=asked.operation,
        longest_tokens=asked.longest_tokens,
        deadline_seconds=policy.deadline_seconds if headers.deadline_seconds is None else headers.deadline_seconds,
        request_id=headers.request_id,
        trace=headers.trace,
    )


def named_beside(asked: Asked) -> Iterator[str]:
    """Models that a body names beside its own, for an upstream that is a gateway itself to turn to: OpenRouter's
    `models` (its guide "Model Fallbacks") and LiteLLM's `fallbacks`. Whatever text stands there."""
    waiting: list[object] = []
    for field in BESIDE.intersection(asked.places):
        start, end = asked.places[field]
        waiting.append(msgspec.json.decode(asked.body[start:end]))
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            waiting += value if isinstance(value, list) else value.values()


def with_wishes(asked: Asked, headers: Said) -> Asked:
    """The request with what its headers wish for: `x-baseload-usage-cost: true` adds the cost to the usage."""
    if not headers.cost_asked:
        return asked
    return msgspec.structs.replace(asked, cost_asked=True, usage_asked=True)


def along(request: Request, defaults: Headers = ()) -> Headers:
    """The client's own headers that go upstream with its request, before those that a dialect asks for by default."""
    return [*steady(request.head, defaults), *numbered(request)]


def steady(head: Head, defaults: Headers = ()) -> Headers:
    """Those of them that are the same for every request with that head."""
    found = said(head).along
    if defaults:
        named = {name for name, _ in found}
        return (*found, *(field for field in defaults if field[0] not in named))
    return found


def numbered(request: Request) -> Headers:
    """Those of them that are this request's own: its id, and the trace that its client follows."""
    found = [(REQUEST_ID, request.id)] if request.id else []
    if said(request.head).traced:
        found.append((TRACEPARENT, request.header(TRACEPARENT) or b""))
    return found


def _line(text: str) -> str:
    """What a client wrote, short enough and plain enough for a log."""
    text = text[:MOST_ID]
    if text.isprintable() and " " not in text:
        return text
    return "".join(character for character in text if character.isprintable() and character != " ")


def _seconds(text: str) -> float:
    """A deadline. Raises BadBody when it is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_SECONDS:
        name = DEADLINE.decode()
        raise BadBody(
            f"{name}: {text[:40]!r} is no number of seconds",
            remedy=f"Send a number above 0, up to {LONGEST_SECONDS:,}.",
            param=name,
            code="bad_deadline",
        )
    return seconds


def _bucket(said: str, tags: Mapping[str, str], model: str, policy: Policy, default: Bucket | None) -> Bucket:
    default = default or default_bucket(model, policy)
    try:
        return bucket_of(said=said, tags=tags, model=model, aliases=policy.aliases, default=default)
    except BadInput as error:
        name = BUCKET.decode()
        raise BadBody(f"{name}: {error.message}", remedy=error.remedy, param=name, code="unknown_bucket") from error


def default_bucket(model: str, policy: Policy) -> Bucket:
    """The bucket of a request that says nothing of its task. A model asked for by its own name is wanted as it is: when
    it does not serve the default bucket, the best one that it serves is meant."""
    success: Mapping[Bucket, float] = {
        bucket: share
        for route in policy.routes
        if route.is_named(model)
        for bucket, share in route.success.items()
        if share
    }
    if policy.default_bucket in success or not success:
        return policy.default_bucket
    return max(success, key=lambda bucket: success[bucket])
