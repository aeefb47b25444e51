"""The same calls, priced on every offer: what this traffic would have cost on each model. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from baseload.audit.pricer import LEAVES, Pricer, counts_of
from baseload.catalog.entries import Offer
from baseload.load.calls import Attempt, Call, Evidence
from baseload.load.facts import Bucket


@dataclass(frozen=True, slots=True)
class Repriced:
    """All calls on one offer. Money is integer nano-dollars, None as soon as one call has no price there: a sum that
    leaves calls out is never shown. `unpriced` counts those calls."""

    offer: str
    book: str
    calls: int
    nanousd: int | None
    by_bucket: Mapping[Bucket, int | None]
    unpriced: int


def answered(call: Call) -> Attempt | None:
    """The attempt that says what a call consumes wherever it is served: the one whose answer the client got, else the
    last one that consumed something. None when nothing was consumed, and then a call costs nothing anywhere."""
    served = call.served
    tries = call.attempts if served is None else (served,)
    return next((tried for tried in reversed(tries) if tried.evidence is not Evidence.NONE), None)


def reprice(calls: Iterable[Call], offers: Iterable[Offer]) -> tuple[Repriced, ...]:
    """Price every call on every offer, at the time it was served; one row for each offer, in the order given.

    A call is priced once, however many attempts it took, so metered money can be more than its price on the offer that
    served it: the difference is what failed attempts consumed. Exactly equal to `cost.tokens.price` call by call.
    """
    demand = _Demand(calls)
    return tuple(demand.on(offer) for offer in offers)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one call consumes: counts by leaf, the length that decides its tier, when."""

    counts: tuple[int, ...]
    prompt_tokens: int
    at_ns: int


# The service tier that calls were processed in, and the offer that did; both empty for the standard one.
_Way = tuple[str, str]


class _Demand:
    """Calls by bucket and way of processing, taken apart once for all offers."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._total = 0
        self._wanted: dict[Bucket, dict[_Way, list[_Wanted]]] = {}
        for call in calls:
            self._total += 1
            ways = self._wanted.setdefault(call.facts.bucket, {})
            attempt = answered(call)
            if attempt is not None:
                usage, tier = attempt.usage, attempt.service_tier
                way = (tier, attempt.offer) if tier else ("", "")
                wanted = _Wanted(counts_of(usage), usage.prompt_tokens, attempt.started_ns)
                ways.setdefault(way, []).append(wanted)
        self._sums = {
            (bucket, way): tuple(sum(each.counts[leaf] for each in wanted) for leaf in range(len(LEAVES)))
            for bucket, ways in self._wanted.items()
            for way, wanted in ways.items()
        }

    def on(self, offer: Offer) -> Repriced:
        """The row of an offer."""
        pricer = Pricer(offer)
        found = {bucket: self._bucket(pricer, bucket) for bucket in Bucket if bucket in self._wanted}
        return Repriced(
            offer=offer.key,
            book=offer.source.book,
            calls=self._total,
            nanousd=_sum([money for money, _ in found.values()]),
            by_bucket={bucket: money for bucket, (money, _) in found.items()},
            unpriced=sum(missing for _, missing in found.values()),
        )

    def _bucket(self, pricer: Pricer, bucket: Bucket) -> tuple[int | None, int]:
        """Nano-dollars of a bucket, and how many of its calls have no price."""
        found = [self._way(pricer, bucket, way) for way in self._wanted[bucket]]
        return _sum([money for money, _ in found]), sum(missing for _, missing in found)

    def _way(self, pricer: Pricer, bucket: Bucket, way: _Way) -> tuple[int | None, int]:
        """The same of those that were processed in one way."""
        wanted = self._wanted[bucket][way]
        served = pricer.served(*way)
        if served is None:
            return None, len(wanted)
        flat = served.flat
        if flat is not None and flat.adds_up:
            # Nothing is rounded, so the sum of the costs is the cost of the sums.
            costs = flat.nanousd(self._sums[bucket, way])
            return None if costs is None else costs + (len(wanted) - 1) * flat.per_request, 0
        prices = [served.of_counts(each.counts, each.prompt_tokens, each.at_ns) for each in wanted]
        return _sum(prices), sum(price is None for price in prices)


def _sum(prices: Sequence[int | None]) -> int | None:
    """The sum of what is known; unknown when anything is not."""
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None
