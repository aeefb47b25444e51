"""What requests with one head have in common, for the express way. A plain record."""

from __future__ import annotations

import msgspec

from baseload.gateway.asking import Said
from baseload.gateway.door import Door
from baseload.gateway.plan import Plan
from baseload.gateway.state import Snapshot
from baseload.load.facts import Operation
from baseload.policy.keys import ClientKey
from baseload.wire.passages import Reader

Kind = tuple[str, str | None, str | None, frozenset[str]]
"""Model, bucket and task as a request's tags say them, needs: what its bucket and its routes depend on."""


class Lane(msgspec.Struct):
    """What requests with one head have in common under one policy, with one key."""

    snapshot: Snapshot
    door: Door
    keys: object  # that were known then
    key: ClientKey | None
    looked_ns: int  # when it was looked whether that is still in force
    operation: Operation
    read: Reader
    said: Said
    tags: dict[str, str]  # those of the key
    named: bytes  # what the client calls it, as JSON
    plans: dict[Kind, Plan | None]
