"""The versioned document that the gateway obeys: routes, their limits, and which buckets they serve. A pure value."""

from __future__ import annotations

import hashlib

import msgspec

from baseload.errors import BadConfig
from baseload.load.facts import Bucket


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way to serve a request: an upstream, the model name it knows, and the offer that prices it.

    `own` marks capacity that is already paid for: it comes first in merit order while `slots` (requests in flight)
    are free. `success` is the share of tries that get the task right, by bucket; a bucket that is absent is not
    served. `context_tokens` None means no known limit.
    """

    name: str
    upstream: str
    model: str
    offer: str
    success: dict[Bucket, float]
    own: bool = False
    slots: int | None = None
    context_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    residency: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Routes and aliases. `aliases` maps a virtual model name (`auto`, `auto:flagship`) to a bucket.

    A request that names a route's own model pins it to the routes of that model.
    """

    routes: tuple[Route, ...]
    aliases: dict[str, Bucket] = msgspec.field(default_factory=dict)
    default_bucket: Bucket = Bucket.JUDGMENT
    name: str = "policy"

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
