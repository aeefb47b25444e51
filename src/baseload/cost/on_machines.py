"""What machines cost: leased or owned, their power, their people, and what stands beside them. Pure; see `model.py`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from baseload.cost.model import Entry, Figures, Number, currency, monthly, most
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.ways import Way
from baseload.units import (
    BYTES_PER_GB,
    HOURS_PER_MONTH,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    WATTS_PER_KILOWATT,
)

MINUTES_PER_HOUR = SECONDS_PER_HOUR // SECONDS_PER_MINUTE
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
        monthly("gateway", "load balancer or gateway", v, "gateway_usd_per_month"),
        monthly("monitoring", "monitoring and alerting", v, "monitoring_usd_per_month"),
    ]  # fmt: skip
    margin = currency(v, sum(entry.amount for entry in bought))
    return [*bought, margin, *_people(v, everyone)]


def _people(v: Figures, replicas: Number) -> Iterator[Entry]:
    hour = v("engineer_usd_per_year") / v("engineer_hours_per_year")
    month = v("engineer_usd_per_year") / MONTHS_PER_YEAR
    year = ("engineer_usd_per_year",)
    yield Entry("engineers", "engineer time", v("engineer_fte"), "FTE", month, ("engineer_fte", *year))
    per_replica = v("engineer_fte_per_replica")
    yield Entry("engineers", "engineer time for each replica", replicas * per_replica, "FTE", month,
                ("engineer_fte_per_replica", *year))  # fmt: skip
    yield monthly("incidents", "on-call stipend", v, "oncall_usd_per_month")
    hours = v("incidents_per_month") * v("incident_hours")
    yield Entry(
        "incidents", "incidents", hours, "engineer hours", hour, ("incidents_per_month", "incident_hours", *_PEOPLE)
    )
    yield monthly("model_updates", "model updates and evaluation", v, "model_updates_usd_per_month")
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
