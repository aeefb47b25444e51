"""The formulas of the cost model, each written once. Pure.

They are plain arithmetic over figures by name, so the same lines run on exact fractions for a bill and on arrays of
samples for a distribution. A figure may be a Fraction, a float, or an array that computes and compares like one; the
formulas bring only whole numbers of their own, which fit all three.

Machines: a replica that is always busy for a month is one replica-month. `busy` is how many replica-months are used,
`count` how many replicas are paid for them; the difference is idle and a line of its own. Rent is never multiplied by
utilisation: a machine that is paid around the clock is paid around the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from baseload.cost.bill import Basis
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.ways import Load, Way
from baseload.errors import BadInput
from baseload.units import (
    BYTES_PER_GB,
    HOURS_PER_MONTH,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    TOKENS_PER_MTOK,
    WATTS_PER_KILOWATT,
)

Number: TypeAlias = Any
Figures: TypeAlias = Callable[[str], Number]

MINUTES_PER_HOUR = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
# More are a cluster, to be weighed in larger units.
MOST_REPLICAS = 2_000
# Floating point may put an exact whole number a hair above itself; that is no reason to pay another machine.
_HAIR = 1e-12
# Of an API beside machines, what does not grow with its tokens.
_ONCE_AT_AN_API = frozenset({"commitment", "standby", "monitoring"})
# How many replicas there are, and how busy.
_SIZING = (
    "input_tokens_per_month",
    "input_share",
    "output_tokens_per_month",
    "output_share",
    "replica_input_tokens_per_month",
    "replica_output_tokens_per_month",
    "peak_over_mean",
    "target_fill",
)
_PEOPLE = ("engineer_usd_per_year", "engineer_hours_per_year")


@dataclass(frozen=True, slots=True)
class Entry:
    """`quantity` of `unit` at `price` USD each: what a component costs a month. `names` are the figures behind it.

    `once` is the whole of a cost that is spread over time. `rest` marks what is bought as machines may not serve it.
    """

    component: str
    title: str
    quantity: Number
    unit: str
    price: Number
    names: tuple[str, ...]
    basis: Basis = "used"
    once: Number = 0
    rest: bool = False

    @property
    def amount(self) -> Number:
        return self.quantity * self.price


def replicas_wanted(way: Way, load: Load, v: Figures) -> Number:
    """Replicas for the busiest moment at the target fill, not yet rounded up to whole ones."""
    top = _levels(way, load, v)[0][0]
    return busy_replicas(v) * top * v("peak_over_mean") / v("target_fill")


def busy_replicas(v: Figures) -> Number:
    """Replica-months that the whole load keeps busy: reading and writing, retries and the tokenizer included."""
    read = v("input_tokens_per_month") * v("input_share") * (1 - v("cache_read_share"))
    read = read / v("replica_input_tokens_per_month")
    written = v("output_tokens_per_month") * v("output_share") / v("replica_output_tokens_per_month")
    return (read + written) * v("tokenizer_ratio") * v("attempts_per_answer")


def whole(wanted: Number) -> Number:
    """Rounded up to whole replicas, at least one.

    >>> whole(Fraction(5, 2)), whole(2.0000000000001), whole(Fraction(0))
    (Fraction(3, 1), 2.0, Fraction(1, 1))
    """
    if isinstance(wanted, Fraction):
        return Fraction(max(1, -(-wanted // 1)))
    return most(-(-(wanted * (1 - _HAIR)) // 1), 1.0)


def most(first: Number, second: Number) -> Number:
    """The larger of two, element by element."""
    return first * (first >= second) + second * (second > first)


def least(first: Number, second: Number) -> Number:
    """The smaller of two, element by element."""
    return first * (first <= second) + second * (second < first)


def total(entries: Sequence[Entry]) -> Number:
    """USD a month in cash."""
    return sum(entry.amount for entry in entries if entry.basis != "shadow")


# ---------------------------------------------------------------------------------------------------- by the token


def api(v: Figures, share: Number) -> list[Entry]:
    """`share` of the load bought by the token."""
    tokens = _tokens(v)
    bill = sum(entry.amount for entry in tokens)
    for entry in _token_extras(v, tokens, bill):
        tokens.append(entry)
        bill = bill + entry.amount
    used = [
        Entry(each.component, each.title, each.quantity * share, each.unit, each.price, each.names) for each in tokens
    ]
    spent = bill * share
    fee = v("usd_per_request")
    used.append(Entry("request_fees", "request fees", _requests(v, fee) * share, "requests", fee, ("usd_per_request",)))
    minimum = v("minimum_usd_per_month")
    used += [
        Entry("commitment", "missing to the minimum", most(minimum - spent, 0 * spent), "USD", 1,
              ("minimum_usd_per_month",), "idle"),
        _monthly("standby", "standby at an API", v, "standby_usd_per_month"),
        _monthly("api_input", "cache storage", v, "cache_storage_usd_per_month"),
        Entry("monitoring", "monitoring of an API", v("api_monitoring_share"), "of", v("monitoring_usd_per_month"),
              ("api_monitoring_share", "monitoring_usd_per_month")),
    ]  # fmt: skip
    return [*used, _currency(v, sum(entry.amount for entry in used))]


def _tokens(v: Figures) -> list[Entry]:
    """What the load's own tokens cost at the plain price."""
    read, wrote = v("input_tokens_per_month") * v("input_share"), v("output_tokens_per_month") * v("output_share")
    price_in, price_out = v("api_input_usd_per_mtok"), v("api_output_usd_per_mtok")
    cached = (
        ("cache reads", "cache_read_share", "cache_read_ratio"),
        ("cache writes", "cache_write_share", "cache_write_ratio"),
        ("cache writes, 1 h", "cache_write_1h_share", "cache_write_1h_ratio"),
    )
    plain = 1 - sum(v(share) for _, share, _ in cached)
    thought = v("reasoning_per_output_token")
    return [
        _token_entry("api_input", "input tokens", read * plain, price_in,
                     ("input_tokens_per_month", "input_share", "api_input_usd_per_mtok")),
        *(_token_entry("api_input", title, read * v(share), price_in * v(ratio),
                       ("input_tokens_per_month", "input_share", share, "api_input_usd_per_mtok", ratio))
          for title, share, ratio in cached),
        _token_entry("api_output", "output tokens", wrote, price_out,
                     ("output_tokens_per_month", "output_share", "api_output_usd_per_mtok")),
        _token_entry("api_output", "reasoning tokens", wrote * thought, price_out,
                     ("output_tokens_per_month", "output_share", "reasoning_per_output_token",
                      "api_output_usd_per_mtok")),
    ]  # fmt: skip


def _token_extras(v: Figures, tokens: Sequence[Entry], bill: Number) -> Iterator[Entry]:
    """What comes on top of the plain tokens, each a share of what stands before it."""
    read = sum(entry.amount for entry in tokens if entry.component == "api_input")
    wrote = sum(entry.amount for entry in tokens if entry.component == "api_output")
    ratio = v("tokenizer_ratio") - 1
    yield Entry("tokenizer", "tokenizer", ratio, "x token bill", bill, ("tokenizer_ratio",))
    counted = bill * (1 + ratio)
    longer = (v("long_input_ratio") - 1) * read + (v("long_output_ratio") - 1) * wrote
    longer = longer * (1 + ratio)
    names = ("long_context_share", "long_input_ratio", "long_output_ratio")
    yield Entry("api_variants", "long context", v("long_context_share"), "x surcharge", longer, names)
    counted = counted + longer * v("long_context_share")
    saved = (v("batch_price_ratio") - 1) * counted
    yield Entry("api_variants", "batch", v("batch_share"), "x discount", saved, ("batch_share", "batch_price_ratio"))
    counted = counted + saved * v("batch_share")
    again = v("attempts_per_answer") - 1
    yield Entry("retries", "attempts billed again", again, "x token bill", counted, ("attempts_per_answer",))
    counted = counted * (1 + again)
    yield Entry(
        "compliance", "regional endpoint", v("regional_premium"), "x token bill", counted, ("regional_premium",)
    )
    yield Entry("request_fees", "markup", v("markup_share"), "x token bill", counted, ("markup_share",))


def _token_entry(component: str, title: str, tokens: Number, usd_per_mtok: Number, names: tuple[str, ...]) -> Entry:
    return Entry(component, title, tokens / TOKENS_PER_MTOK, "M tokens", usd_per_mtok, names)


def _requests(v: Figures, fee: Number) -> Number:
    """Requests are asked for only where they cost something: they may not be known."""
    return v("requests_per_month") * v("input_share") * v("attempts_per_answer") if _any(fee > 0) else 0 * fee


def _any(truth: Number) -> bool:
    return bool(truth.any()) if hasattr(truth, "any") else bool(truth)


# ---------------------------------------------------------------------------------------------------- on machines


def machines(way: Way, v: Figures, busy: Number, count: Number, spare: Number, carried: Number) -> list[Entry]:
    """`count` replicas of which `busy` are used on average, `spare` ones beside them, serving `carried` of the load."""
    hardware = list(_owned(way, v, busy, count, spare) if way.kind == "owned" else _leased(way, v, busy, count, spare))
    everyone = count + spare
    gigabytes = v("output_tokens_per_month") * v("output_share") * carried
    gigabytes = gigabytes * v("attempts_per_answer") * v("tokenizer_ratio")
    gigabytes = gigabytes * v("bytes_per_output_token") / BYTES_PER_GB
    cards = everyone * way.gpus
    bought = [
        *hardware,
        Entry("egress", "network egress", gigabytes, "GB", v("egress_usd_per_gb"),
              ("output_tokens_per_month", "bytes_per_output_token", "egress_usd_per_gb")),
        Entry("storage", "storage of weights and images", everyone * v("storage_gb"), "GB-months",
              v("storage_usd_per_gb_month"), ("storage_gb", "storage_usd_per_gb_month")),
        Entry("licences", "software licences", cards, "GPUs", v("licence_usd_per_gpu_year") / MONTHS_PER_YEAR,
              ("licence_usd_per_gpu_year",)),
        _monthly("gateway", "load balancer or gateway", v, "gateway_usd_per_month"),
        _monthly("monitoring", "monitoring and alerting", v, "monitoring_usd_per_month"),
    ]  # fmt: skip
    margin = _currency(v, sum(entry.amount for entry in bought))
    return [*bought, margin, *_people(v, everyone)]


def _people(v: Figures, replicas: Number) -> Iterator[Entry]:
    hour = v("engineer_usd_per_year") / v("engineer_hours_per_year")
    month = v("engineer_usd_per_year") / MONTHS_PER_YEAR
    year = ("engineer_usd_per_year",)
    yield Entry("engineers", "engineer time", v("engineer_fte"), "FTE", month, ("engineer_fte", *year))
    per_replica = v("engineer_fte_per_replica")
    yield Entry("engineers", "engineer time for each replica", replicas * per_replica, "FTE", month,
                ("engineer_fte_per_replica", *year))  # fmt: skip
    yield _monthly("incidents", "on-call stipend", v, "oncall_usd_per_month")
    hours = v("incidents_per_month") * v("incident_hours")
    yield Entry(
        "incidents", "incidents", hours, "engineer hours", hour, ("incidents_per_month", "incident_hours", *_PEOPLE)
    )
    yield _monthly("model_updates", "model updates and evaluation", v, "model_updates_usd_per_month")
    setup = v("setup_engineer_hours")
    yield Entry("setup", "setup and migration", setup, "engineer hours", hour / v("horizon_months"),
                ("setup_engineer_hours", *_PEOPLE, "horizon_months"), "once", setup * hour)  # fmt: skip


def _leased(way: Way, v: Figures, busy: Number, count: Number, spare: Number) -> Iterator[Entry]:
    """By the hour: on demand, reserved, spot or brokered."""
    rate, names, component = hourly(way, v)
    sized_by = (*names, *_SIZING)
    hours, starts = _billed(way, v)
    used = busy * HOURS_PER_MONTH
    yield Entry(component, "GPU lease", used, "replica-hours", rate, sized_by)
    yield Entry("idle", "idle GPU", count * hours - used, "replica-hours", rate, sized_by, "idle")
    yield Entry(
        "redundancy", "spare replicas", spare * hours, "replica-hours", rate, ("spare_replicas", *names), "idle"
    )
    waiting = starts * v("start_minutes") / MINUTES_PER_HOUR
    yield Entry(
        "start", "start and cold load", (count + spare) * waiting, "replica-hours", rate, ("start_minutes", *names)
    )
    if way.kind == "spot":
        lost = hours / v("spot_hours_between_interruptions") * v("spot_recovery_minutes") / MINUTES_PER_HOUR
        yield Entry("spot_interruption", "interruptions", (count + spare) * lost, "replica-hours", rate,
                    ("spot_hours_between_interruptions", "spot_recovery_minutes", *names))  # fmt: skip
    if way.kind == "reserved":
        left = most(v("reserved_term_months") - v("horizon_months"), 0 * v("horizon_months"))
        whole_cost = left * (count + spare) * hours * rate
        yield Entry("exit", "reservation beyond the horizon", left * (count + spare) * hours, "replica-hours",
                    rate / v("horizon_months"), ("reserved_term_months", "horizon_months", *names), "once",
                    whole_cost)  # fmt: skip


def hourly(way: Way, v: Figures) -> tuple[Number, tuple[str, ...], str]:
    """USD of one replica-hour, the figures behind it, and the component it belongs to."""
    rate = v("gpu_usd_per_hour") * way.gpus + v("machine_usd_per_month") / HOURS_PER_MONTH
    names: tuple[str, ...] = ("machine_usd_per_month", "gpu_usd_per_hour")
    if way.kind == "reserved":
        return rate * (1 - v("reserved_discount")), (*names, "reserved_discount"), "gpu_reserved"
    if way.kind == "spot":
        fallback = v("spot_fallback_share")
        spot = v("spot_price_ratio") * (1 + v("spot_overprovision"))
        names = (*names, "spot_price_ratio", "spot_overprovision", "spot_fallback_share")
        return rate * (spot * (1 - fallback) + fallback), names, "gpu_spot"
    if way.kind == "brokered":
        return rate * (1 + v("markup_share")), (*names, "markup_share"), "gpu_on_demand"
    return rate, names, "gpu_on_demand"


def _billed(way: Way, v: Figures) -> tuple[Number, Number]:
    """Hours a month that one replica is billed, and starts a month. A reservation is paid for every hour."""
    if way.kind == "reserved":
        return HOURS_PER_MONTH + 0 * v("hours_on_per_week"), 0 * v("hours_on_per_week")
    weeks = Fraction(HOURS_PER_MONTH, HOURS_PER_WEEK)
    missing = sum(most(v("minimum_billing_hours") - length, 0 * v("minimum_billing_hours")) for length in way.on.runs)
    return _times(v("hours_on_per_week") + missing, weeks), _times(len(way.on.runs) + 0 * v("hours_on_per_week"), weeks)


def _times(figure: Number, factor: Fraction) -> Number:
    return figure * factor.numerator / factor.denominator


def _owned(way: Way, v: Figures, busy: Number, count: Number, spare: Number) -> Iterator[Entry]:
    """Bought: capital, maintenance and space for every month, power by load."""
    purchase = v("card_usd") * way.gpus * v("node_factor")
    months = v("life_years") * MONTHS_PER_YEAR
    everyone = count + spare
    kilowatts = v("watts_per_card") * way.gpus / WATTS_PER_KILOWATT
    capital = annuity(purchase, v("capital_rate"), months, purchase * v("residual_share"))
    kept = purchase * v("maintenance_share_per_year") / MONTHS_PER_YEAR
    space = kilowatts * v("colocation_usd_per_kw_month")
    buying = ("card_usd", "node_factor", "capital_rate", "life_years", "residual_share")
    keeping = ("card_usd", "node_factor", "maintenance_share_per_year")
    housing = ("watts_per_card", "colocation_usd_per_kw_month")
    month = "replica-months"
    yield Entry("annuity", "capital", busy, month, capital, (*buying, *_SIZING), once=everyone * purchase)
    yield Entry("maintenance", "hardware maintenance", busy, month, kept, keeping)
    yield Entry("colocation", "colocation", busy, month, space, housing)
    fixed, all_names = capital + kept + space, (*buying, *keeping[2:], *housing, *_SIZING)
    yield Entry("idle", "idle machines", count - busy, month, fixed, all_names, "idle")
    yield Entry("redundancy", "spare replicas", spare, month, fixed, ("spare_replicas", *all_names), "idle")
    power = kilowatts * v("pue") * v("electricity_usd_per_kwh") * HOURS_PER_MONTH
    powered = ("watts_per_card", "pue", "electricity_usd_per_kwh")
    on = v("hours_on_per_week") / HOURS_PER_WEEK
    yield Entry("power", "electricity", busy, "replica-months at load", power, powered)
    yield Entry("idle", "electricity of idle machines", everyone * on - busy, "replica-months idle",
                power * v("idle_power_share"), (*powered, "idle_power_share"), "idle")  # fmt: skip
    leaving = everyone * purchase * v("exit_share_of_purchase")
    yield Entry("exit", "decommissioning", leaving, "USD", 1 / v("horizon_months"),
                ("exit_share_of_purchase", "card_usd", "node_factor", "horizon_months"), "once", leaving)  # fmt: skip


def annuity(purchase: Number, yearly_rate: Number, months: Number, residual: Number) -> Number:
    """The even monthly payment for `purchase` less the present value of `residual`; works on samples.

    >>> round(annuity(250_000.0, 0.10, 48.0, 50_000.0), 2)
    5489.18
    """
    monthly = yearly_rate / MONTHS_PER_YEAR
    growth = _power(1 + monthly, months)
    # Without interest the payment is plainly the loss of value over the months.
    free = monthly == 0
    factor = (monthly + free) * growth / (growth - 1 + free)
    return (purchase - residual / growth) * factor * (1 - free) + (purchase - residual) / months * free


def _power(base: Number, exponent: Number) -> Number:
    """A power that stays a fraction for fractions, to 28 digits."""
    if not isinstance(base, Fraction):
        return base**exponent
    # 28 digits are far below a nano-dollar, and keep the powers of a fraction from growing without end.
    return Fraction(_decimal(base) ** _decimal(exponent))


def _decimal(figure: Fraction) -> Decimal:
    return Decimal(figure.numerator) / figure.denominator


# ---------------------------------------------------------------------------------------------------- for every way


def common(v: Figures, entries: Sequence[Entry]) -> list[Entry]:
    """What every way pays, and what is shown beside the cash."""
    wrong = v("usd_per_correction")
    corrected = v("correction_share") * (v("requests_per_month") if _any(wrong > 0) else 0 * wrong)
    people = sum(entry.amount for entry in entries if entry.component in _PEOPLES)
    return [
        _monthly("compliance", "compliance and audit", v, "compliance_usd_per_month"),
        Entry("breach", "expected loss by a breach", v("breach_probability_per_year") / MONTHS_PER_YEAR, "times",
              v("breach_loss_usd"), ("breach_probability_per_year", "breach_loss_usd")),
        Entry("correction", "human correction", corrected, "requests", wrong,
              ("requests_per_month", "correction_share", "usd_per_correction")),
        Entry("opportunity", "opportunity cost of engineers", v("opportunity_multiplier") - 1, "x people", people,
              ("opportunity_multiplier",), "shadow"),
    ]  # fmt: skip


_PEOPLES = frozenset({"engineers", "incidents", "model_updates", "setup"})


def _monthly(component: str, title: str, v: Figures, name: str) -> Entry:
    return Entry(component, title, 1, "months", v(name), (name,))


def _currency(v: Figures, bought: Number) -> Entry:
    rate = v("currency_margin") + v("tax_share")
    return Entry(
        "currency_and_tax", "currency and tax", rate, "x what is bought", bought, ("currency_margin", "tax_share")
    )


# ---------------------------------------------------------------------------------------------------- sizing


@dataclass(frozen=True, slots=True)
class Sized:
    """A way with its replicas counted. `bought` is the share of the load that goes to an API."""

    label: Literal["api", "machines", "both"]
    entries: list[Entry]
    count: Number
    spare: Number
    busy: Number
    bought: Number


def sized(way: Way, load: Load, v: Callable[[Way], Figures], base: int | None = None) -> list[Sized]:
    """The way as entries; a hybrid as everything it may turn out to be: bought, on machines, or both.

    `base` settles how many replicas a hybrid has; without it as many as pay.
    """
    if way.base is not None and way.overflow is not None:
        found = [_on_api(v(way.overflow)), _both(way.base, load, v(way.base), v(way.overflow), base)]
        if not load.outside(way.base.on):
            found.append(_on_machines(way.base, load, v(way.base)))
    elif way.base is not None:
        found = [_as_now(way.base, v(way.base), way.held)]
    else:
        found = [_on_machines(way, load, v(way)) if way.on_machines else _on_api(v(way))]
    return found if way.elsewhere is None else [_with(each, v(way.elsewhere)) for each in found]


def _with(found: Sized, v: Figures) -> Sized:
    """The way and what its machines may not serve, bought: tokens alone, the rest is counted already."""
    bought = [replace(entry, rest=True) for entry in api(v, 1) if entry.component not in _ONCE_AT_AN_API]
    return replace(found, entries=[*found.entries, *bought])


def _as_now(way: Way, v: Figures, held: int) -> Sized:
    """The machines that there are, busy with what they serve today, whatever else would be cheaper."""
    busy = busy_replicas(v)
    entries = machines(way, v, busy, held, 0, 1)
    return Sized("both", [*entries, *common(v, entries)], held, 0, busy, 0)


def _on_api(v: Figures) -> Sized:
    entries = api(v, 1)
    return Sized("api", [*entries, *common(v, entries)], 0, 0, 0, 1)


def _on_machines(way: Way, load: Load, v: Figures) -> Sized:
    count, spare, busy = whole(replicas_wanted(way, load, v)), v("spare_replicas"), busy_replicas(v)
    _refuse_cluster(count)
    entries = machines(way, v, busy, count, spare, 1)
    return Sized("machines", [*entries, *common(v, entries)], count, spare, busy, 0)


def _both(base: Way, load: Load, v: Figures, beside: Figures, settled: int | None) -> Sized:
    """As many base replicas as each pays for itself, the rest bought.

    A replica pays while what it carries would cost more bought than the replica does: exact, one replica at a time.
    Within an hour a peak is taken as all or nothing, the shape that suits a base least.
    """
    busy = busy_replicas(v)
    tokens = [entry for entry in api(beside, 1) if entry.component != "commitment"]
    rest = [entry for entry in api(beside, 0) if entry.component != "commitment"]
    running = total(machines(base, v, 1, 1, 0, 1 / busy)) - total(machines(base, v, 0, 1, 0, 0))
    standing = total(machines(base, v, 0, 1, 0, 0)) - total(machines(base, v, 0, 0, 0, 0))
    worth = (total(tokens) - total(rest)) / busy - running
    levels = [
        (busy * level * v("peak_over_mean"), share / v("peak_over_mean")) for level, share in _levels(base, load, v)
    ]
    count, carried = 0 * busy, 0 * busy
    for below in range(MOST_REPLICAS):
        layer = _layer(levels, below, v("target_fill"))
        pays = (worth * layer >= standing) * (layer > 0) if settled is None else below < settled
        if not _any(pays):
            break
        count, carried = count + pays * 1, carried + layer * pays
    bought = 1 - carried / busy
    entries = [*machines(base, v, carried, count, 0, carried / busy), *api(beside, bought)]
    return Sized("both", [*entries, *common(v, entries)], count, 0 * count, carried, bought)


def _layer(levels: Sequence[tuple[Number, Number]], below: int, fill: Number) -> Number:
    """Replica-months that the next replica carries on top of `below` others."""
    return sum(share * least(most(level - below * fill, 0 * level), fill + 0 * level) for level, share in levels)


def _levels(way: Way, load: Load, v: Figures) -> list[tuple[Number, Number]]:
    """(load over its mean, share of the month) of the hours on.

    Levels are fractions among fractions and floats among floats.
    """
    if levels := load.levels(way.on):
        if isinstance(v("hours_on_per_week"), Fraction):
            return list(levels)
        return [(float(level), float(share)) for level, share in levels]
    on = v("hours_on_per_week") / HOURS_PER_WEEK
    return [(1 / on, on)]


def _refuse_cluster(count: Number) -> None:
    if isinstance(count, Fraction) and count > MOST_REPLICAS:
        raise BadInput(
            f"that load needs {int(count):,} replicas, more than {MOST_REPLICAS:,}",
            remedy="Check the capacity of a replica, or give a larger unit such as a whole node.",
        )
