"""What a client asks, from body and headers: the Facts of a request, and the headers that go along upstream. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from baseload.errors import BadInput
from baseload.gateway.request import Headers, Request
from baseload.gateway.tagging import add_tags
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
REQUEST_ID = b"x-request-id"
MOST_ID = 128
"""Characters of a client's own name for a request that are kept."""
LONGEST_SECONDS = 86_400
"""The longest deadline: no request takes a day."""

# Fields of the client that mean the same to an upstream. Its authorization is ours to give, never the client's.
_ALONG = frozenset(
    (b"accept", b"user-agent", b"x-request-id", b"idempotency-key", b"traceparent", b"tracestate", b"openai-beta")
) | {b"anthropic-version", b"anthropic-beta"}


def facts_of(asked: Asked, request: Request, policy: Policy, at_ns: int, default: Bucket | None = None) -> Facts:
    """The request as the dispatcher sees it; `default` is its model's `default_bucket`, where that was found before.
    Raises BadBody on a header that cannot be understood."""
    tags, residency, bucket, deadline = asked.tags, "", "", policy.deadline_seconds
    request_id = trace = ""
    for name, value in request.headers:
        if not name.startswith(b"x-baseload-"):
            if name == REQUEST_ID:
                request_id = _line(_text(value))
            elif name == TRACEPARENT:
                trace = read_trace(value)
            continue
        text = _text(value)
        if name == BUCKET:
            bucket = text
        elif name == RESIDENCY:
            residency = text
        elif name == DEADLINE:
            deadline = _seconds(text)
    add_tags(request.headers, tags)
    return Facts(
        at_ns=at_ns,
        model=asked.model,
        bucket=_bucket(bucket, tags, asked.model, policy, default),
        input_tokens=asked.input_tokens,
        output_cap=asked.output_cap,
        stream=asked.stream,
        needs=asked.needs,
        tags=tags,
        residency=residency,
        operation=asked.operation,
        longest_tokens=asked.longest_tokens,
        deadline_seconds=deadline,
        request_id=request_id,
        trace=trace,
    )


def with_wishes(asked: Asked, request: Request) -> Asked:
    """The request with what its headers wish for: `x-baseload-usage-cost: true` adds the cost to the usage."""
    wish = request.header(USAGE_COST)
    if wish is None or wish.lower() not in (b"true", b"1"):
        return asked
    return msgspec.structs.replace(asked, cost_asked=True, usage_asked=True)


def along(request: Request, defaults: Headers = ()) -> Headers:
    """The client's own headers that go upstream with its request, before those that a dialect asks for by default."""
    found = [field for field in request.headers if field[0] in _ALONG]
    if defaults:
        named = {name for name, _ in found}
        found += [field for field in defaults if field[0] not in named]
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
