"""The versioned document that the gateway obeys: routes, their limits, and which buckets they serve. A pure value."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from baseload.errors import BadConfig
from baseload.load.facts import Bucket, Operation

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


# Names are sent in response headers: visible ASCII, spaces only inside.
Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=200)]


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way to serve a request: an `upstream`, the `model` name it knows, and the `offer` that prices it.

    `name` stands for the route in decisions and in the ledger. `own` marks capacity that is already paid for: it
    comes first in merit order while `slots` (requests in flight) are free. When none is, a request waits its turn
    up to `wait_seconds`, if one is likely to become free by then; else, and with 0, it goes to the next route.
    `success` is the share of tries that get the task right, 0 to 1 by bucket; a bucket that is absent is not
    served. `context_tokens` absent means no known limit. `capabilities` such as `tools`, `json_schema` or `vision`
    are what a request may need, `residency` where its data stays. `operations` are what it serves: `chat` stands
    for chat completions, responses and messages, which are translated where an upstream speaks another dialect;
    `completions` and `embeddings` are named one by one. When a client goes away, `on_client_gone: abort` breaks the
    upstream's answer off, and `drain` reads it to its end, so that what is billed is the upstream's own count and
    not an estimate.
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
    capabilities: frozenset[str] = frozenset()
    residency: str = ""
    operations: frozenset[Operation] = frozenset({Operation.CHAT})
    on_client_gone: Literal["abort", "drain"] = "abort"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `name` of the policy, its `routes`, and `aliases`: virtual model names (`auto`, `auto:flagship`) by bucket.

    A request that names a route's own model pins it to the routes of that model; its bucket is `default_bucket` unless
    it says another.
    """

    routes: tuple[Route, ...]
    aliases: dict[str, Bucket] = msgspec.field(default_factory=dict)
    default_bucket: Bucket = Bucket.JUDGMENT
    name: Name = "policy"

    def __post_init__(self) -> None:
        names = [route.name for route in self.routes]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise BadConfig(f"route names must be unique, but {', '.join(doubled)} stands twice", remedy="Rename one.")

    @property
    def models(self) -> tuple[str, ...]:
        """Every name a client may ask for, aliases first."""
        return (*self.aliases, *dict.fromkeys(route.model for route in self.routes))


def version(policy: Policy) -> str:
    """`name@digest`: the same document has the same version everywhere."""
    encoded = msgspec.json.encode(policy, order="deterministic")
    return f"{policy.name}@{hashlib.sha256(encoded).hexdigest()[:12]}"
