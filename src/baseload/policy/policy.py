"""The versioned document that the gateway obeys: routes, their limits, and which buckets they serve. A pure value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec

from baseload.errors import BadConfig
from baseload.load.facts import Bucket, Operation

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


# What a client may always ask for when the policy says nothing else.
AUTO: Mapping[str, Bucket] = MappingProxyType(
    {
        "auto": Bucket.JUDGMENT,
        "auto:economy": Bucket.BANDWIDTH,
        "auto:standard": Bucket.JUDGMENT,
        "auto:flagship": Bucket.FLAGSHIP,
    }
)

# Names are sent in response headers: visible ASCII, spaces only inside.
Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=200)]


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way to serve a request: an `upstream`, the `model` name it knows, and the `offer` that prices it.

    `name` stands for the route in decisions and in the ledger. `own` marks capacity that is already paid for: it
    comes first in merit order while `slots` (requests in flight) are free. When none is, a request waits its turn
    up to `wait_seconds`, if one is likely to become free by then; else, and with 0, it goes to the next route.
    `success` is the share of tries that get the task right, 0 to 1 by bucket; a bucket that is absent is not
    served. `context_tokens` absent means no known limit; `output_tokens` is the longest answer that its model gives,
    `image_tokens` the most that it counts for an image, which budgets go by (`docs/budgets.md`). `capabilities` such
    as `tools`, `json_schema` or `vision` are what a request may need, `residency` where its data stays. `names` are
    further names by which a client may ask for it, beside its `model`. `operations` are what it serves: `chat` stands
    for chat completions, responses and messages, which are translated where an upstream speaks another dialect;
    `completions` and `embeddings` are named one by one. `on_client_gone` says what becomes of an answer whose client
    went away: `abort` breaks the upstream's answer off, and `drain` reads it to its end, so that what is billed is the
    upstream's own count and not an estimate.
    """

    name: Name
    upstream: Name
    model: Name
    offer: Name
    success: dict[Bucket, Share]
    own: bool = False
    slots: Annotated[int, msgspec.Meta(ge=0)] | None = None
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 0.0
    context_tokens: Annotated[int, msgspec.Meta(gt=0)] | None = None
    output_tokens: Annotated[int, msgspec.Meta(gt=0, le=10**7)] | None = None
    image_tokens: Annotated[int, msgspec.Meta(gt=0, le=10**7)] | None = None
    capabilities: frozenset[str] = frozenset()
    residency: str = ""
    names: tuple[Name, ...] = ()
    operations: frozenset[Operation] = frozenset({Operation.CHAT})
    on_client_gone: Literal["abort", "drain"] = "abort"

    def __post_init__(self) -> None:
        wrong = sorted(operation for operation in self.operations if operation.kind is not operation)
        if wrong:
            raise ValueError(f"route {self.name}: {', '.join(wrong)} is served by a route of chat")

    def is_named(self, model: str) -> bool:
        """Whether a request for a model of that name means it."""
        return model == self.model or model in self.names


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `name` of the policy, its `routes`, and `aliases`: virtual model names by bucket. Left out, those are
    `auto` and `auto:standard` for judgment, `auto:economy` for bandwidth and `auto:flagship`.

    A request that names a route's own model pins it to the routes of that model; its bucket is `default_bucket` unless
    it says another. When all of those have failed, the routes of the models in `fallbacks` are tried, which lists them
    by the model or alias that is asked for; `context_fallbacks` lists the models for a request whose prompt is too long
    for that one. `deadline_seconds` is how long a request may take that does not say so itself (in the header
    `x-baseload-deadline-seconds`); with none it may take as long as the upstreams' timeouts allow.
    """

    routes: tuple[Route, ...]
    aliases: dict[str, Bucket] = msgspec.field(default_factory=lambda: dict(AUTO))
    default_bucket: Bucket = Bucket.JUDGMENT
    name: Name = "policy"
    fallbacks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    context_fallbacks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    deadline_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        names = [route.name for route in self.routes]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise BadConfig(f"route names must be unique, but {', '.join(doubled)} stands twice", remedy="Rename one.")
        known = set(self.models)
        for field in (self.fallbacks, self.context_fallbacks):
            for unknown in {name for asked, others in field.items() for name in (asked, *others)} - known:
                raise BadConfig(
                    f"a fallback names the model {unknown!r}, which no route has and no alias is",
                    remedy=f"Use one of {', '.join(self.models)}.",
                )

    @property
    def models(self) -> tuple[str, ...]:
        """Every name a client may ask for, aliases first."""
        named = (name for route in self.routes for name in (route.model, *route.names))
        return tuple(dict.fromkeys((*self.aliases, *named)))


def version(policy: Policy) -> str:
    """`name@digest`: the same document has the same version everywhere."""
    encoded = msgspec.json.encode(policy, order="deterministic")
    return f"{policy.name}@{hashlib.sha256(encoded).hexdigest()[:12]}"
