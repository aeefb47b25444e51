"""What an answer stands on, one row for each input: value, unit, source, date and how it is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from baseload.capacity.deployment import Deployment
from baseload.catalog.entries import Source
from baseload.cost.bill import Bill
from baseload.plan.document import Assumption, Known, plain
from baseload.plan.metered import Market, OwnPool
from baseload.plan.options import Machines, TokenPrice, Volume, known_by
from baseload.plan.supplies import Pool
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, TOKENS_PER_MTOK

TYPED = "typed on the command line"


def assumption(
    name: str, value: str, unit: str, source: str | Source, known: Known, day: date | None = None
) -> Assumption:
    """One row; a `Source` brings its own date."""
    if isinstance(source, Source):
        return Assumption(name=name, value=value, unit=unit, source=source.reference, date=source.as_of, known=known)
    return Assumption(name=name, value=value, unit=unit, source=source, date=day, known=known)


def span(figure: Range) -> str:
    """`3`, or `2 to 3` when it is a range."""
    if figure.is_exact:
        return f"{plain(figure.low):f}"
    return f"{plain(figure.low):f} to {plain(figure.high):f}"


def typed(volume: Volume, prices: Sequence[TokenPrice], machines: Machines | None) -> list[Assumption]:
    """Every input of a decision on typed figures."""
    parts = (volume.input_tokens, volume.output_tokens)
    mix = " + ".join(f"{plain(part / TOKENS_PER_MTOK):f}" for part in parts)
    rows = [
        assumption("volume", mix, "M tokens/month in + out", TYPED, "typed"),
        assumption("mix", "the same at every volume", "", "how the curves are drawn", "assumed"),
    ]
    rows += [
        assumption(
            f"price of {price.name}",
            f"{span(price.input)} / {span(price.output)}",
            "USD/M tokens in / out",
            price.source or TYPED,
            price.known,
        )
        for price in prices
    ]
    if machines is not None:
        rows += _machine_rows(machines)
    return rows


def _machine_rows(machines: Machines) -> list[Assumption]:
    capacity = f"{plain(machines.capacity / TOKENS_PER_MTOK):f}"
    peak = "even load: the peak is the mean" if machines.peak == 1 else f"{plain(machines.peak):f}"
    rows = [
        assumption("machine", span(machines.usd_per_month), "USD/machine-month", TYPED, "typed"),
        assumption("month", str(HOURS_PER_MONTH), "hours paid, busy or not", "365 / 12 days", "assumed"),
        assumption("capacity", capacity, "M tokens/machine-month when always busy", TYPED, "typed"),
        assumption(
            "peak over mean", peak, "", TYPED if machines.peak != 1 else "none was typed", _known_peak(machines)
        ),
    ]
    if machines.peak != 1:
        rows.append(
            assumption("hybrid", "not weighed", "", "its size follows from the shape of the load: meter it", "assumed")
        )
    return rows + _operations(machines.operations)


def _known_peak(machines: Machines) -> Known:
    return "assumed" if machines.peak == 1 else "typed"


def metered_rows(market: Market, pool: OwnPool | None) -> list[Assumption]:
    """What a decision on metered calls stands on beside the figures of its lines."""
    profile, tally = market.profile, market.profile.tally
    minutes, known = len(profile.minutes), market.load.known
    thirds = "days" if profile.a_week else "minutes"
    rows = [
        assumption("calls", f"{tally.requests:,}", "", "the ledger", known),
        assumption("measured span", str(minutes), "minutes, first and last counted whole", "the ledger", known),
        assumption(
            "a month",
            f"{minutes} minutes repeated",
            f"to {HOURS_PER_MONTH} hours",
            f"low and high are the quietest and the busiest third of the {thirds}, repeated",
            "assumed",
        ),
    ]
    other = "as the upstreams counted them; --set tokenizer_ratio=0.8-1.6 weighs another model's"
    rows.append(assumption("tokens", "the same on every model", "", other, "assumed"))
    for bucket, api in market.cheapest.items():
        rows.append(assumption(f"{bucket} calls, bought", api.offer.key, "", api.offer.source, known_by(api.offer)))
    rows += [assumption("left out", words, "", "the configuration", "typed") for words in market.supplies.left_out]
    rows += [
        assumption("left out", f"{offer} for {bucket}", "", why, "assumed")
        for (offer, bucket), why in market.profile.gaps.items()
    ]
    if tally.unserved:
        rows.append(assumption("left out", f"{tally.unserved} calls", "without an answer", "the ledger", known))
    if tally.estimated:
        rows.append(assumption("estimated", f"{tally.estimated:,} calls", "tokens counted by us", "the ledger", known))
    return rows + (_pool_rows(pool.pool) if pool is not None else [])


def _pool_rows(pool: Pool) -> list[Assumption]:
    deployment = pool.deployment
    served = ", ".join(sorted(pool.buckets))
    return [
        assumption("own pool", deployment.name, f"serves {served}", "the policy", "typed"),
        assumption("month", str(HOURS_PER_MONTH), "hours paid, busy or not", "365 / 12 days", "assumed"),
        assumption("capacity of a machine", f"{pool.pace:.0%}", _doubted(deployment), deployment.source, "market"),
        assumption(
            "requests in flight", str(pool.slots), f"of {deployment.max_in_flight} measured", "the policy", "typed"
        ),
    ]


def _doubted(deployment: Deployment) -> str:
    """Of what it is a share, and how far that may be off."""
    if deployment.doubt is None:
        return "of its modelled best" if not deployment.band.is_exact else "of its best"
    return f"of its measured best; {deployment.doubt.sentence}"


def _operations(beside: Bill) -> list[Assumption]:
    """What running machines costs beside them, line by line, or that it is left out."""
    name = "people and operations"
    if not beside.lines:
        return [assumption(name, "not included", "USD/month", "--hidden-stack or --ops adds them", "assumed")]
    return [
        assumption(
            line.component, span(line.amount), "USD/month", line.source or TYPED, "article" if line.source else "typed"
        )
        for line in beside.lines
    ]
