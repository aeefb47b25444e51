"""A load profile as a question for the cost model: the measured load, how it is served now, and the ways to serve it.
Pure.

Every way serves every bucket that was asked for, and only with supplies that may serve it: calls that own machines may
not serve go to the cheapest API that may. An API's price is what its offers would have charged for these very calls,
over their tokens, so that its bill is theirs to the nano-dollar.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from baseload.catalog.entries import Source
from baseload.cost.schedule import ALWAYS, Schedule
from baseload.cost.ways import Load, Way, WayKind
from baseload.errors import NotEnoughData
from baseload.load.facts import Bucket
from baseload.plan.document import Known, Metered
from baseload.plan.options import Volume, known_by, whole_machines
from baseload.plan.profile import MINUTES_PER_HOUR, Profile, Served
from baseload.plan.supplies import Api, Pool, Supplies
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, NANO_PER_USD, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, TOKENS_PER_MTOK, usd
from baseload.usage import Usage

# The load-duration curve of a long measurement is drawn in this many levels; up to as many minutes it is exact. Every
# level bends the curve once for each machine, so a large fleet is drawn in fewer.
LEVELS = 60
MOST_BENDS = 3_000
# How far off an imported month may be on top of what the thirds show: assumed. Metered ones are off by nothing more.
IMPORTED = (Decimal("0.9"), Decimal("1.1"))
NOW = "as now"
CHEAPEST = "API, cheapest per bucket"
NOT_OWN = "API, what own machines may not serve"
_ONE = Range.exact(1)
_NOTHING = Range.exact(0)
_CACHED = ("cache_read", "cache_write", "cache_write_1h")


@dataclass(frozen=True)
class Market:
    """A profile and the supplies it is weighed on."""

    profile: Profile
    supplies: Supplies

    @cached_property
    def volume(self) -> Volume:
        """The measured tokens as a month's."""
        return Volume(self.load.input_tokens.likely, self.load.output_tokens.likely)

    @cached_property
    def load(self) -> Load:
        """The month that the measured span stands for."""
        minutes = self.profile.minutes
        read, wrote, asked = (
            self.profile.monthly([getattr(minute, name) for minute in minutes])
            for name in ("read", "wrote", "requests")
        )
        imported = self.profile.tally.imported * 2 > self.profile.tally.requests
        if imported:
            read, wrote, asked = (_wider(month) for month in (read, wrote, asked))
        duration = OwnPool(self, self.supplies.pool).duration if self.supplies.pool is not None else ()
        return Load(read, wrote, asked, self.profile.shape, duration, "imported" if imported else "metered")

    @property
    def metered(self) -> Metered:
        """What was measured, as the document writes it. The cost is unknown when one call had no price."""
        tally = self.profile.tally
        whole, (first, last) = tally.whole, self.profile.window
        return Metered(
            requests=tally.requests,
            input_tokens=whole.prompt_tokens,
            output_tokens=whole.completion_tokens,
            minutes=len(self.profile.minutes),
            usd=usd(tally.nanousd) if not tally.unpriced else None,
            unpriced=tally.unpriced,
            unserved=tally.unserved,
            cache_read_tokens=whole.cache_read_tokens,
            estimated=tally.estimated,
            first=first,
            last=last,
            digest=tally.digest,
        )

    @property
    def figures(self) -> dict[str, Range]:
        """What the ledger says of the cost model's own figures. The peak is in the levels of the load, how full a
        machine may be is held by the policy's slots, and tokens are those that the upstreams counted."""
        held = dict.fromkeys(("peak_over_mean", "target_fill", "tokenizer_ratio"), _ONE)
        return {**_cache(self.profile.tally.whole), **held}

    @cached_property
    def cheapest(self) -> dict[Bucket, Api]:
        """For each bucket that was asked for the API that serves it for the least money. Raises NotEnoughData."""
        return {bucket: self._cheapest(bucket) for bucket in sorted(self.profile.tally.usage)}

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

    def on(self, name: str, chosen: Mapping[Bucket, Api]) -> Way:
        """The calls of these buckets, each bucket on its API, at what it would have charged for them."""
        sums: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for bucket, api in chosen.items():
            for leaf, (count, nanousd) in self.profile.charges.get((api.offer.key, bucket), {}).items():
                counts[leaf] += count
                sums[leaf] += nanousd
        usage = sum((self.profile.tally.usage[bucket] for bucket in chosen), Usage())
        figures = {**self.shares(usage), **_prices(usage, counts, sums), **_cache(usage)}
        dearest = max(chosen.items(), key=lambda pair: self.profile.cost(pair[1].offer.key, pair[0]))[1].offer.source
        priced = [figure for figure in figures if figure.endswith(("_mtok", "_ratio", "_request"))]
        why = ", ".join(f"{bucket} on {api.offer.key}" for bucket, api in chosen.items())
        return Way(name, "api", figures, dict.fromkeys(priced, dearest), why=why)

    def shares(self, usage: Usage) -> dict[str, Range]:
        """Which part of the load's tokens this usage is."""
        whole = self.profile.tally.whole
        return {
            "input_share": _share(usage.prompt_tokens, whole.prompt_tokens),
            "output_share": _share(usage.completion_tokens, whole.completion_tokens),
        }

    @cached_property
    def carried(self) -> dict[Bucket, Api]:
        """The buckets that own machines may serve, all of them where there are none, and the API each would go to."""
        pool = self.supplies.pool
        found = {bucket: api for bucket, api in self.cheapest.items() if pool is None or bucket in pool.buckets}
        return found or self.cheapest

    @cached_property
    def rest(self) -> Way | None:
        """What own machines may not serve, bought; None where they may serve everything."""
        others = {bucket: api for bucket, api in self.cheapest.items() if bucket not in self.carried}
        return self.on(NOT_OWN, others) if others else None

    @cached_property
    def overflow(self) -> Way | None:
        """Where what flows over goes; None where that is the cheapest API itself."""
        return self.on(CHEAPEST, self.carried) if self.rest is not None else None

    def known(self, way: Way) -> Known:
        """How the prices of an API are known: all of them by the book of the dearest part."""
        sources = {api.offer.source: known_by(api.offer) for api in self.supplies.apis}
        return next((sources[source] for source in way.sources.values() if source in sources), "metered")

    def apis(self) -> list[Way]:
        """Everything on the cheapest API per bucket, and everything on each API that may serve every bucket."""
        split = self.on(CHEAPEST, self.carried)
        why = ", ".join(f"{bucket} on {api.offer.key}" for bucket, api in self.cheapest.items())
        ways = [replace(split, rest=self.rest, why=why)]
        for api in self.supplies.apis:
            if all(self._prices(api, bucket) for bucket in self.cheapest):
                only = dict.fromkeys(self.cheapest, api)
                if only != self.cheapest:
                    ways.append(self.on(f"all on {api.offer.key}", only))
        return ways

    def served_now(self) -> Way:
        """How the calls are served today, at their own prices. A pool that served none of them is not there yet."""
        tally, pool = self.profile.tally, self.supplies.pool
        own = tally.own.usage
        machines = bool(own.prompt_tokens + own.completion_tokens)
        why = "what the metered calls cost at their own prices, repeated"
        if tally.unpriced:
            return Way(NOW, "now", unfit=f"{tally.unpriced:,} of {tally.requests:,} calls have no known price")
        if not machines:
            return Way(NOW, "now", self._paid(tally.bought), why=why)
        if pool is None or self.supplies.pools != 1:
            return Way(NOW, "now", unfit="calls were served on own machines whose hours have no one known price")
        served = OwnPool(self, pool).machine("rented", ALWAYS)
        metered = {**self.shares(own), **_cache(own), "attempts_per_answer": _ONE}
        base = replace(served, name=f"{NOW}, own pool", figures={**served.figures, **metered}, rest=None)
        bought = tally.bought.usage
        rest = None
        if bought.prompt_tokens + bought.completion_tokens:
            rest = Way(f"{NOW}, bought", "api", self._paid(tally.bought))
        return Way(NOW, "now", base=base, rest=rest, held=1, why=f"{why}; every hour of the own pool")

    def _paid(self, side: Served) -> dict[str, Range]:
        """One price for all tokens: what was charged for them, failed attempts included."""
        price = _per_mtok(side.nanousd, side.usage.prompt_tokens + side.usage.completion_tokens)
        plain = {f"{name}_share": _NOTHING for name in _CACHED} | {"reasoning_per_output_token": _NOTHING}
        prices = {"api_input_usd_per_mtok": price, "api_output_usd_per_mtok": price}
        return {**self.shares(side.usage), **prices, **plain, "attempts_per_answer": _ONE}


@dataclass(frozen=True)
class OwnPool:
    """The pool's side of the market: how many machines each minute needs, and what one of them is."""

    market: Market
    pool: Pool

    @cached_property
    def load(self) -> list[Decimal]:
        """Machines needed in each minute: busy seconds at the policy's slots over the minute."""
        pace = self.pool.pace * SECONDS_PER_MINUTE
        return [round(minute.busy / pace, 9) for minute in self.market.profile.minutes]

    @cached_property
    def duration(self) -> tuple[tuple[Fraction, Fraction], ...]:
        """The load-duration curve, (load over its mean, share of the time), highest first; none of no load.

        The busiest minute is a level of its own: machines are counted by it.
        """
        ordered = sorted((Fraction(load) for load in self.load), reverse=True)
        mean = sum(ordered, Fraction(0)) / len(ordered)
        if not mean:
            return ()
        most = max(2, min(LEVELS, MOST_BENDS // whole_machines(max(self.load))))
        levels = [
            (sum(group, Fraction(0)) / len(group) / mean, Fraction(len(group), len(ordered)))
            for group in _grouped(ordered, most)
        ]
        return tuple(
            (level, sum((share for _, share in same), Fraction(0)))
            for level, same in itertools.groupby(levels, key=lambda pair: pair[0])
        )

    def machine(self, kind: WayKind, on: Schedule) -> Way:
        """One machine of the pool, had in this way; what it may not serve is bought."""
        pool, usage = self.pool, sum((self.market.profile.tally.usage[each] for each in self.market.carried), Usage())
        figures = {**self.market.shares(usage), **_cache(usage), **self._capacity(usage)}
        sources: dict[str, Source] = dict.fromkeys(
            ("replica_input_tokens_per_month", "replica_output_tokens_per_month"), pool.deployment.source
        )
        figures["gpu_usd_per_hour"] = pool.usd_per_gpu_hour
        if pool.source is not None:
            sources["gpu_usd_per_hour"] = pool.source
        if kind == "owned" and pool.purchase is not None and pool.purchase.purchase_usd is not None:
            figures["card_usd"], sources["card_usd"] = pool.purchase.purchase_usd, pool.purchase.source
        if on != ALWAYS:
            figures["peak_over_mean"] = self._peak
        deployment = pool.deployment
        return Way(f"{kind} {deployment.model}", kind, figures, sources, deployment.gpus, on, rest=self.market.rest)

    @property
    def _peak(self) -> Range:
        """The busiest minute over the mean of its hour, for machines that are counted by the hour of the week."""
        hours = [self.load[at : at + MINUTES_PER_HOUR] for at in range(0, len(self.load), MINUTES_PER_HOUR)]
        found = [max(hour) * len(hour) / sum(hour) for hour in hours if sum(hour)]
        return Range.exact(max(found, default=Decimal(1)))

    def _capacity(self, usage: Usage) -> dict[str, Range]:
        """Tokens a month that a machine reads and writes at the policy's slots, were it doing only that; one figure for
        both where a single mix was measured. As far off as the deployment's own figures may be."""
        month = HOURS_PER_MONTH * SECONDS_PER_HOUR * self.pool.pace
        saturated = self.pool.deployment.saturated
        if saturated is not None:
            read, wrote = saturated.input_tokens_per_second * month, saturated.output_tokens_per_second * month
        else:
            busy = sum((minute.busy for minute in self.market.profile.minutes), Decimal(0))
            tokens = usage.prompt_tokens - usage.cache_read_tokens + usage.completion_tokens
            read = wrote = tokens / busy * month if busy else month
        return {
            "replica_input_tokens_per_month": self.pool.deployment.band * read,
            "replica_output_tokens_per_month": self.pool.deployment.band * wrote,
        }


def _prices(usage: Usage, counts: Mapping[str, int], sums: Mapping[str, int]) -> dict[str, Range]:
    """What was charged by leaf, as prices and as ratios of them; one price for the input where no ratio can say it."""
    wrote = _per_mtok(sums["output"] + sums["reasoning"], usage.completion_tokens)
    figures = {"api_output_usd_per_mtok": wrote, "reasoning_per_output_token": _NOTHING}
    if sums["request"]:
        figures["usd_per_request"] = Range.exact(usd(sums["request"]) / counts["request"])
    plain = _per_mtok(sums["input"], counts["input"])
    leaves = [leaf for leaf in _CACHED if counts[leaf]]
    if leaves and not plain.likely:
        read = sum(sums[leaf] for leaf in ("input", *_CACHED))
        figures["api_input_usd_per_mtok"] = _per_mtok(read, usage.prompt_tokens)
        return figures | {f"{leaf}_ratio": _ONE for leaf in leaves}
    ratios = {
        f"{leaf}_ratio": Range.exact(_per_mtok(sums[leaf], counts[leaf]).likely / plain.likely) for leaf in leaves
    }
    return figures | {"api_input_usd_per_mtok": plain} | ratios


def _cache(usage: Usage) -> dict[str, Range]:
    """The parts of the input that came from a cache or went to one."""
    return {f"{name}_share": _share(getattr(usage, f"{name}_tokens"), usage.prompt_tokens) for name in _CACHED}


def _wider(month: Range) -> Range:
    """A log that somebody else wrote may lack calls, or hold some twice."""
    return Range(month.low * IMPORTED[0], month.likely, month.high * IMPORTED[1])


def _share(part: int, whole: int) -> Range:
    return Range.exact(Decimal(part) / whole if whole else 0)


def _per_mtok(nanousd: int, tokens: int) -> Range:
    return Range.exact(Decimal(nanousd) / tokens * TOKENS_PER_MTOK / NANO_PER_USD if tokens else 0)


def _grouped(ordered: Sequence[Fraction], most: int) -> list[Sequence[Fraction]]:
    """The first for itself, the others with their neighbours in at most `most` groups in all."""
    first, others = ordered[:1], ordered[1:]
    parts = min(most - 1, len(others))
    bounds = [part * len(others) // parts for part in range(parts + 1)] if parts else []
    return [first, *(others[start:end] for start, end in itertools.pairwise(bounds))]
