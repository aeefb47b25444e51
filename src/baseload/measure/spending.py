"""What a benchmark will use before it uses it: requests, tokens and USD, at least and at most. No I/O.

An endpoint of your own costs its hours whether it is measured or not. One that sells by the token is asked about first.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from baseload.catalog.entries import Offer
from baseload.cost.tokens import price
from baseload.load.lengths import Lengths
from baseload.measure.running import ANSWERS_PER_SENDER, LEAST_ANSWERS, Bounds, Price
from baseload.measure.sweep import LEAST_LOADS, LONG_FACTOR, Probes, loads
from baseload.units import usd
from baseload.usage import Usage

# Names of machines that are reached without leaving the house.
_OWN_ENDINGS = (".local", ".internal", ".lan", ".localhost", ".svc", ".svc.cluster.local")
# A prompt or an answer may be longer than its mean by this much.
LONGEST = 1.2
# A load that is slow to become steady asks this many times what an even one does; its seconds bound it then.
UNSTEADY = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a measurement will use, at least and at most. `usd` are None where nothing is paid, or no price is known."""

    requests: tuple[int, int]
    tokens: tuple[int, int]
    usd: tuple[Decimal, Decimal] | None


def is_own(host: str) -> bool:
    """Whether a host can only be a machine of yours: this one, a private address, or a name without a domain.

    >>> is_own("127.0.0.1"), is_own("10.0.0.7"), is_own("gpu-1"), is_own("api.acme.example")
    (True, True, True, False)
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.lower().endswith(_OWN_ENDINGS)
    return address.is_private or address.is_loopback or address.is_link_local


def price_at(offer: Offer, when: datetime) -> Price:
    """What a request costs on an offer at a moment, in nano-dollars. Raises Unpriced when it is first asked."""

    def cost(input_tokens: int, output_tokens: int) -> int:
        return price(Usage(input_tokens=input_tokens, output_tokens=output_tokens), offer, when).nanousd

    return cost


def closed_estimate(probes: Probes, cost: Price | None) -> Estimate:
    """Of the probes: at least when the fourth load gains nothing, at most when every load does."""
    steps = list(loads(probes.most_in_flight, full=probes.full))
    few = steps if probes.full else steps[:LEAST_LOADS]
    least, most = sum(map(_asked, few)), UNSTEADY * sum(map(_asked, steps))
    longest = UNSTEADY * _asked(max(1, probes.most_in_flight // 2)) if probes.long_prompt else 0
    return _estimate(probes.lengths, (least, most), longest, cost)


def open_estimate(lengths: Lengths, requests: int, cost: Price | None) -> Estimate:
    """Of so many requests."""
    return _estimate(lengths, (requests // 2, round(requests * LONGEST) + 1), 0, cost)


def bounded(estimate: Estimate, bounds: Bounds) -> Estimate:
    """The estimate within what was allowed."""

    def least(pair: tuple[int, int], most: int | None) -> tuple[int, int]:
        return pair if most is None else (min(pair[0], most), min(pair[1], most))

    money = estimate.usd
    if money is not None and bounds.usd is not None:
        money = (min(money[0], bounds.usd), min(money[1], bounds.usd))
    return Estimate(least(estimate.requests, bounds.requests), least(estimate.tokens, bounds.tokens), money)


def _asked(senders: int) -> int:
    """Requests of one load: the first ones, the steady part, and what is in flight at its end."""
    return 2 * senders + max(LEAST_ANSWERS, ANSWERS_PER_SENDER * senders)


def _estimate(lengths: Lengths, requests: tuple[int, int], longest: int, cost: Price | None) -> Estimate:
    read, written = lengths.mean()
    longer = round(read * LONG_FACTOR * LONGEST)
    fewest = (max(1, round(read / LONGEST)), 1)
    widest = (round(read * LONGEST) + 1, round(written * LONGEST) + 1)
    tokens = requests[0] * sum(fewest), requests[1] * sum(widest) + longest * (longer + widest[1])
    money = None
    if cost is not None:
        high = requests[1] * cost(*widest) + longest * (cost(longer, widest[1]) if longest else 0)
        money = usd(requests[0] * cost(*fewest)), usd(high)
    return Estimate((requests[0], requests[1] + longest), tokens, money)
