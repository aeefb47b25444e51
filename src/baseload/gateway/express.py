"""The express way: a plain request is answered without a task, by what its kind has in common. Acts.

Most requests are alike: a whole answer is asked for, in a calm moment, and the first route serves it. For those
`Express.take` does what `chat.py` does for any, in one turn of the event loop: it reads, decides, keeps the call, and
sends on a connection that is open. A `Flight` is told of what comes back, and in one more turn reads, prices, writes
the call down and answers. What the ledger and the headers say is the same; only, it was worked out before (`plan.py`).

Whatever is not plain is left to `chat.py`: before anything was done, by declining; and after the request was sent (a
refusal, a broken answer, a count that is missing, a full disk), by `Chat.resume`, which goes on as if it had sent it.
"""

from __future__ import annotations

import logging

from baseload.errors import LedgerUnavailable
from baseload.gateway.asking import BESIDE, facts_of, said
from baseload.gateway.door import Door
from baseload.gateway.endpoints import ENDPOINTS
from baseload.gateway.flight import Flight, Ground
from baseload.gateway.head import Request
from baseload.gateway.http import Connection
from baseload.gateway.keys import KeyRing, Unknown
from baseload.gateway.lane import Kind, Lane
from baseload.gateway.plan import Plan, named, plan
from baseload.gateway.state import Snapshot
from baseload.gateway.tagging import NO_TAGS, add_tags
from baseload.gateway.target import NoRoom
from baseload.load.buckets import BUCKET_TAG, TASK_TAG
from baseload.load.facts import Facts, Operation
from baseload.policy.keys import claimed, forbidden
from baseload.wire.asked import Asked
from baseload.wire.body import BadBody
from baseload.wire.passages import reader

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024
"""Longer requests take a while anyway."""
MOST_PLANS = 64
"""Kinds of request for which a plan is remembered, for one head."""
MOST_SHARED = 1_024
"""Plans that are remembered for all heads: of routes that are there at all there are rarely as many."""

LOOK_NS = 50_000_000
"""How long a key that was in force is taken to be: nanoseconds."""

_OPERATIONS = frozenset((Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES))


class Express:
    """Takes plain requests, for whoever serves the others."""

    def __init__(self, ground: Ground, keys: KeyRing, door: Door) -> None:
        self.door = door
        self._ground = ground
        self._keys = keys
        self._plans: tuple[Snapshot | None, dict[object, Plan]] = (None, {})  # whatever the head

    def take(self, line: Connection, request: Request) -> Flight | None:
        """Send a request on its way and say who answers it; None, and nothing was done, where it is not plain."""
        try:
            return self._take(line, request)
        except (BadBody, LedgerUnavailable, NoRoom):  # whoever serves it next finds that, too, and says so
            return None
        except Exception:  # nothing is lost yet: the other way is still there
            log.exception("a request could not be taken the express way")
            return None

    def _take(self, line: Connection, request: Request) -> Flight | None:
        ground = self._ground
        if ground.budgets.caps or ground.chat.traces or not ground.meter.writable or len(request.body) > MOST_BYTES:
            return None
        at_ns = ground.clock.time_ns()
        lane = self._lane(request, at_ns)
        if lane is None:
            return None
        asked = lane.read(request.body)
        if asked.stream or asked.cost_asked or asked.dropped or asked.longest_tokens:
            return None
        if lane.key is not None and lane.key.models and not BESIDE.isdisjoint(asked.places):
            return None
        tags = asked.tags
        if lane.said.tags is not NO_TAGS:
            add_tags(lane.said.tags, tags)
        kind = (asked.model, tags.get(BUCKET_TAG), tags.get(TASK_TAG), asked.needs)
        found = lane.plans.get(kind, kind)
        known = self._plan(lane, kind, asked, at_ns) if isinstance(found, tuple) else found
        if known is None or not ground.state.is_calm(at_ns):
            return None
        if lane.tags:
            tags |= lane.tags
        flight = Flight(ground, line, request, lane, asked)
        return flight if flight.leaves(known, at_ns) else None

    def _lane(self, request: Request, at_ns: int) -> Lane | None:
        """What the head of a request says, as it was found before; None when it is not plain."""
        head, snapshot, door = request.head, self._ground.state.snapshot, self.door
        lane: Lane | None = head.known.get("lane")
        if lane is not None and lane.snapshot is snapshot and lane.keys is self._keys.entries and lane.door is door:
            if 0 <= at_ns - lane.looked_ns < LOOK_NS:
                return lane
            if self._keys.caller(request) is lane.key:
                lane.looked_ns = at_ns
                return lane
        operation = ENDPOINTS.get(head.path)
        if operation not in _OPERATIONS or head.method != "POST" or head.http_1_0 or not head.keep_alive:
            return None
        key = self._keys.caller(request)
        if isinstance(key, Unknown) or door.obstacle(request) is not None or not request.body:
            return None
        headers = said(head)
        if headers.cost_asked or headers.deadline_seconds is not None:
            return None
        tags = dict(key.all_tags) if key is not None else {}
        names = named(headers.request_id, headers.trace)
        read = reader(operation)
        lane = Lane(snapshot, door, self._keys.entries, key, at_ns, operation, read, headers, tags, names, {})
        head.known["lane"] = lane
        return lane

    def _plan(self, lane: Lane, kind: Kind, asked: Asked, at_ns: int) -> Plan | None:
        """The plan for requests like this one, from now on."""
        found, snapshot, key = None, lane.snapshot, lane.key
        facts = facts_of(asked, lane.said, snapshot.policy, at_ns, snapshot.defaults.get(asked.model))
        if facts.model in snapshot.models and (key is None or forbidden(key, facts) is None):
            found = self._of_all(claimed(facts, key) if key is not None else facts, snapshot)
        if len(lane.plans) >= MOST_PLANS:
            lane.plans.clear()
        lane.plans[kind] = found
        return found

    def _of_all(self, facts: Facts, snapshot: Snapshot) -> Plan | None:
        """The plan for such requests under any head: a client may send another head with each."""
        known, plans = self._plans
        if known is not snapshot or len(plans) >= MOST_SHARED:
            plans = {}
            self._plans = (snapshot, plans)
        kind = (facts.model, facts.bucket, facts.operation, facts.needs, facts.residency, facts.residencies)
        found = plans.get(kind)
        if found is None:
            found = plan(facts, snapshot)
            if found is not None:
                plans[kind] = found
        return found
