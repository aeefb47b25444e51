"""Options from a load profile: all on an API, all on own machines, own machines with overflow. Pure.

Every option serves every bucket that was asked for, and only with supplies that may serve it: calls that the pool may
not serve go to the cheapest API that may.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from baseload.cost.bill import Bill, Line
from baseload.cost.breakeven import critical_fill
from baseload.cost.curves import ZERO, Hybrid, Step, Tariff
from baseload.errors import NotEnoughData
from baseload.load.facts import Bucket
from baseload.plan.document import FillEntry, Metered
from baseload.plan.options import Option, Volume, whole_machines
from baseload.plan.profile import MINUTES_PER_MONTH, Profile
from baseload.plan.supplies import Api, Pool, Supplies
from baseload.units import HOURS_PER_MONTH, NANO_PER_USD, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, usd

# The load-duration curve of a long measurement is drawn in this many levels; up to as many minutes it is exact. Every
# level bends the curve once for each machine, so a large fleet is drawn in fewer.
LEVELS = 60
MOST_BENDS = 3_000
MINUTES_PER_HOUR = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
CHEAPEST = "API, cheapest per bucket"


@dataclass(frozen=True)
class Market:
    """A profile and the supplies it is weighed on."""

    profile: Profile
    supplies: Supplies

    @cached_property
    def volume(self) -> Volume:
        """The measured tokens as a month's, whole tokens."""
        tally, minutes = self.profile.tally, len(self.profile.minutes)
        read, wrote = (tokens * MINUTES_PER_MONTH // minutes for tokens in (tally.input_tokens, tally.output_tokens))
        return Volume(Decimal(read), Decimal(wrote))

    @property
    def metered(self) -> Metered:
        """What was measured, as the document writes it. The cost is unknown when one call had no price."""
        tally = self.profile.tally
        return Metered(
            requests=tally.requests,
            input_tokens=tally.input_tokens,
            output_tokens=tally.output_tokens,
            minutes=len(self.profile.minutes),
            usd=usd(tally.nanousd) if not tally.unpriced else None,
            unpriced=tally.unpriced,
            unserved=tally.unserved,
        )

    @cached_property
    def cheapest(self) -> dict[Bucket, Api]:
        """For each bucket that was asked for the API that serves it for the least money. Raises NotEnoughData."""
        return {bucket: self._cheapest(bucket) for bucket in sorted(self.profile.tally.buckets)}

    def _cheapest(self, bucket: Bucket) -> Api:
        known = [api for api in self.supplies.apis if self._prices(api, bucket)]
        if not known:
            raise NotEnoughData(
                f"no API with a known price may serve {bucket} calls, and some were asked for",
                remedy="Give a route of the policy that serves them an offer with a price.",
            )
        return min(known, key=lambda api: self.profile.cost(api.offer.key, bucket))

    def _prices(self, api: Api, bucket: Bucket) -> bool:
        return bucket in api.buckets and (api.offer.key, bucket) not in self.profile.gaps

    def bought(self, buckets: frozenset[Bucket] | set[Bucket]) -> list[int]:
        """Nano-dollars by minute of these buckets' calls, each on its cheapest API."""
        keys = [(api.offer.key, bucket) for bucket, api in self.cheapest.items() if bucket in buckets]
        return [sum(minute.nanousd.get(key, 0) for key in keys) for minute in self.profile.minutes]

    def api_options(self) -> list[Option]:
        """Everything on the cheapest API per bucket, and everything on each API that may serve every bucket."""
        options = [self._api_option(CHEAPEST, self.cheapest)]
        for api in self.supplies.apis:
            if all(self._prices(api, bucket) for bucket in self.cheapest):
                only = dict.fromkeys(self.cheapest, api)
                if only != self.cheapest:
                    options.append(self._api_option(f"all on {api.offer.key}", only))
        return options

    def _api_option(self, name: str, chosen: dict[Bucket, Api]) -> Option:
        bill = Bill(tuple(self.line(api, bucket) for bucket, api in chosen.items()))
        rate = Fraction(bill.total.likely) / Fraction(self.volume.tokens)
        return Option(name, "api", bill, Tariff(name, per_unit=rate))

    def line(self, api: Api, bucket: Bucket) -> Line:
        amount = self.profile.monthly(
            [minute.nanousd.get((api.offer.key, bucket), 0) for minute in self.profile.minutes]
        )
        how = f"{bucket} calls on {api.offer.key}, priced one by one, measured minutes to a month"
        return Line("API", amount, how, api.offer.source)


@dataclass(frozen=True)
class OwnPool:
    """The pool's side of the market: how many machines each minute needs, and what its calls would cost bought."""

    market: Market
    pool: Pool

    @cached_property
    def load(self) -> list[Decimal]:
        """Machines needed in each minute: busy seconds at the policy's slots over the minute."""
        pace = self.pool.pace * SECONDS_PER_MINUTE
        return [round(minute.busy / pace, 9) for minute in self.market.profile.minutes]

    @cached_property
    def value(self) -> list[int]:
        """Nano-dollars by minute of the pool's calls, bought."""
        return self.market.bought(self.pool.buckets)

    @cached_property
    def peak(self) -> int:
        """Machines at the busiest minute."""
        return whole_machines(max(self.load))

    @property
    def elsewhere(self) -> Bill:
        """The calls that the pool may not serve."""
        others = {bucket: api for bucket, api in self.market.cheapest.items() if bucket not in self.pool.buckets}
        return Bill(tuple(self.market.line(api, bucket) for bucket, api in others.items()))

    @property
    def elsewhere_rate(self) -> Fraction:
        return Fraction(self.elsewhere.total.likely) / Fraction(self.market.volume.tokens)

    def lease(self, machines: int) -> Bill:
        """That many machines around the clock; none is no line."""
        if not machines:
            return Bill()
        amount = self.pool.usd_per_month * machines
        return Bill((Line("GPU lease", amount, f"{_machines(machines)} x {self.pool.how}", self.pool.source),))

    def fill(self, machines: int) -> Decimal:
        """The mean share of that many machines that is used, overflow apart."""
        used = sum((min(load, Decimal(machines)) for load in self.load), Decimal(0))
        return used / len(self.load) / machines if machines else Decimal(0)

    def own_option(self, stack: Bill) -> Option:
        """Every call that the pool may serve on own machines, as many as the busiest minute needs.

        `stack` is what running machines costs beside them, empty to leave it out.
        """
        name = f"own {self.pool.deployment.model}"
        peak = max(self.load)
        step = Step(Fraction(self.market.volume.tokens) / Fraction(peak), Fraction(self.pool.usd_per_month.likely))
        return Option(
            name=name,
            kind="rented",
            bill=self.lease(self.peak) + self.elsewhere + stack,
            curve=Tariff(name, _likely(stack), self.elsewhere_rate, (step,)),
            machines=self.peak,
            fill=self.fill(self.peak),
            note=f"{_machines(self.peak)} for the busiest minute ({peak:.2f}), {self.fill(self.peak):.0%} filled",
        )

    def overflow(self, machines: int) -> list[int]:
        """Nano-dollars by minute of what flows over: the part of the minute's load above the machines."""
        return [
            round(value * (1 - machines / load)) if load > machines else 0
            for load, value in zip(self.load, self.value, strict=True)
        ]

    def hybrid_option(self, stack: Bill) -> Option:
        """The number of base machines with the smallest likely bill, the rest bought."""
        best = min(range(self.peak + 1), key=lambda count: self._hybrid_bill(count).total.likely)
        name = f"own {self.pool.deployment.model} + overflow"
        flowing = sum(self.overflow(best)) / max(sum(self.value), 1)
        return Option(
            name=name,
            kind="hybrid",
            bill=self._hybrid_bill(best) + stack,
            curve=self._hybrid_curve(name, _likely(stack)),
            machines=best,
            fill=self.fill(best) if best else None,
            note=f"{_machines(best, 'base machine')}, {flowing:.1%} of the pool's calls by value flow over",
        )

    def _hybrid_bill(self, machines: int) -> Bill:
        amount = self.market.profile.monthly(self.overflow(machines))
        line = Line("API overflow", amount, f"load above {_machines(machines)} in each minute, at the cheapest API")
        flowing = Bill((line,)) if amount.high else Bill()
        return self.lease(machines) + flowing + self.elsewhere

    def _hybrid_curve(self, name: str, fixed: Fraction) -> Hybrid:
        """Volume scales the load of every minute; a machine-minute bought costs what that minute's calls cost."""
        scale = Fraction(MINUTES_PER_MONTH, len(self.load) * NANO_PER_USD)
        tokens = Fraction(self.market.volume.tokens)
        pairs = sorted(((load, value) for load, value in zip(self.load, self.value, strict=True) if load), reverse=True)
        most = max(1, min(LEVELS, MOST_BENDS // self.peak))
        levels = tuple((level / tokens, money * scale / level) for level, money in _grouped(pairs, most))
        step = Step(Fraction(1), Fraction(self.pool.usd_per_month.likely))
        return Hybrid(name, step, Fraction(1), levels, fixed, self.elsewhere_rate)

    def critical_fill(self) -> Fraction | None:
        """How busy a machine must be to pay: its hour over what a full hour of its calls would cost bought."""
        busy = sum((Fraction(load) for load in self.load), ZERO)
        if not busy:
            return None
        per_machine_hour = Fraction(sum(self.value), NANO_PER_USD) / busy * MINUTES_PER_HOUR
        return critical_fill(Fraction(self.pool.usd_per_month.likely) / HOURS_PER_MONTH, Fraction(1), per_machine_hour)

    def fills(self) -> tuple[FillEntry, ...]:
        """How busy each machine would be, the others filled first, and whether it pays in money."""
        lease = self.pool.usd_per_month.likely
        entries = []
        for machine in range(1, self.peak + 1):
            used = sum((min(max(load - (machine - 1), Decimal(0)), Decimal(1)) for load in self.load), Decimal(0))
            saved = self.market.profile.monthly(self.overflow(machine - 1)).likely
            saved -= self.market.profile.monthly(self.overflow(machine)).likely
            entries.append(FillEntry(machine=machine, fill=round(used / len(self.load), 6), pays=saved >= lease))
        return tuple(entries)


def _likely(bill: Bill) -> Fraction:
    return Fraction(bill.total.likely)


def _grouped(pairs: Sequence[tuple[Decimal, int]], most: int) -> list[tuple[Fraction, Fraction]]:
    """At most `most` levels in falling order, each the mean load and the whole value of its neighbours."""
    parts = min(most, len(pairs))
    bounds = [part * len(pairs) // parts for part in range(parts + 1)] if pairs else []
    groups = [pairs[start:end] for start, end in itertools.pairwise(bounds)]
    return [
        (sum((Fraction(load) for load, _ in group), ZERO) / len(group), Fraction(sum(value for _, value in group)))
        for group in groups
    ]


def _machines(count: int, thing: str = "machine") -> str:
    """How many, in the number that it takes: `1 machine`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
