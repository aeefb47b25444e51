"""The cost model against hand-worked figures and against what must hold for every load, price and machine."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.cost.evaluate import cost_at, evaluate, likely_fractions, monthly_cost, ranges
from baseload.cost.parameters import Assumptions
from baseload.cost.schedule import ALWAYS, schedule
from baseload.cost.ways import Load, Way
from baseload.documents import load_parameters
from baseload.errors import BadInput, Unpriced
from baseload.ranges import Range

FULL = Assumptions(load_parameters())
BARE = FULL.bare()
KINDS = ("rented", "reserved", "spot", "owned", "brokered")
WEEK = tuple(Fraction(1 + hour % 24 % 7) for hour in range(168))


def exact(**figures: object):
    return {name: Range.exact(Decimal(str(figure))) for name, figure in figures.items()}


def bought(read=3, written=15, **more: object):
    return Way("api", "api", exact(api_input_usd_per_mtok=read, api_output_usd_per_mtok=written, **more))


def machine(kind="rented", capacity="1.6e9", on=ALWAYS, gpus=1, **more: object):
    room = exact(replica_input_tokens_per_month=capacity, replica_output_tokens_per_month=capacity)
    return Way(kind, kind, room | exact(**more), gpus=gpus, on=on)


def load(read="300e6", written="100e6", **more: object):
    return Load(Range.exact(Decimal(read)), Range.exact(Decimal(written)), **more)


def one(way, month=None, known=BARE):
    (priced,) = evaluate([way], month or load(), known)
    return priced


def by_id(priced):
    sums = {}
    for line in priced.bill.lines:
        sums[line.id] = sums.get(line.id, 0) + line.amount.likely
    return sums


def test_article_4_by_the_token_and_by_the_hour():
    assert one(bought()).usd_per_month == Range.exact(2400)
    rented = one(machine(gpu_usd_per_hour=2))
    assert rented.usd_per_month == Range.exact(1460)
    # A quarter of it is busy; idle is a line of its own, and only the usage basis leaves it out.
    assert by_id(rented) == {"gpu_on_demand": 365, "idle": 1095}
    assert (rented.bill.used.likely, rented.fill, rented.replicas) == (365, Decimal("0.25"), 1)


@pytest.mark.parametrize("share", ["0.05", "0.5", "1"])
def test_rent_around_the_clock_is_never_multiplied_by_utilisation(share):
    month = load("0", str(Decimal("1.6e9") * Decimal(share)))
    assert one(machine(gpu_usd_per_hour=2, gpus=8), month).usd_per_month == Range.exact(11680)


def test_a_spare_and_headroom_are_paid():
    known = BARE.over(exact(spare_replicas=1, target_fill="0.8", peak_over_mean=2))
    month = load("0", "1.6e9")
    priced = one(machine(gpu_usd_per_hour=2), month, known)
    # Twice the mean at the peak, four fifths full: 2.5 replicas, so three, and one spare.
    assert (priced.replicas, priced.spare) == (3, 1)
    assert by_id(priced) == {"gpu_on_demand": 1460, "idle": 2920, "redundancy": 1460}


def test_hours_on_are_paid_with_every_start_and_no_less_than_the_minimum():
    on = schedule("mon-fri:8-18")
    known = BARE.over(exact(minimum_billing_hours=12, start_minutes=30))
    month = load("0", "160e6")
    priced = one(machine(gpu_usd_per_hour=2, on=on), month, known)
    weeks = Fraction(730, 168)
    # Five starts a week: twelve hours billed each, and half an hour of loading.
    assert Fraction(priced.usd_per_month.likely) == pytest.approx(5 * (12 + Fraction(1, 2)) * 2 * weeks, abs=1e-8)
    # The load falls on the hours on: a tenth of a replica-month in 50 of 168 hours fills a third.
    assert float(priced.fill) == pytest.approx(0.1 * 168 / 50)
    # A reservation is paid in the hours off as well.
    reserved = one(machine("reserved", gpu_usd_per_hour=2, reserved_discount="0.3", on=on), month, known)
    assert reserved.usd_per_month.likely == Decimal(1022)


def test_spot_pays_for_overprovision_fallback_and_interruptions():
    figures = exact(
        gpu_usd_per_hour=2, spot_price_ratio="0.5", spot_overprovision="0.2", spot_fallback_share="0.1",
        spot_hours_between_interruptions=10, spot_recovery_minutes=6,
    )  # fmt: skip
    way = machine("spot", capacity="1e9")
    priced = one(replace(way, figures={**way.figures, **figures}), load("0", "1e9"))
    rate = Decimal("1.28")  # 2 x (0.5 x 1.2 x 0.9 + 0.1)
    assert by_id(priced) == {"gpu_spot": 730 * rate, "spot_interruption": Decimal("7.3") * rate}


def test_a_node_of_eight_owned_around_the_clock():
    # 1.25 to 2.66 USD a GPU-hour at every hour used, 1.57 in the middle, without people.
    priced = one(machine("owned", gpus=8), load("0", "1.6e9"))
    low, likely, high = (
        float(each) / 8 / 730
        for each in (priced.usd_per_month.low, priced.usd_per_month.likely, priced.usd_per_month.high)
    )
    assert likely == pytest.approx(1.63, abs=0.02)
    assert low < 1.25
    assert high > 2.5
    capital = next(line for line in priced.bill.lines if line.id == "annuity")
    assert capital.once.likely == 275_000
    # Idle, it draws a quarter of its power and all of its capital.
    half = one(machine("owned", gpus=8), load("0", "0.8e9"))
    saved = priced.usd_per_month.likely - half.usd_per_month.likely
    assert float(saved) == pytest.approx(0.5 * 0.75 * 7 * 1.54 * 0.13 * 730)


def test_what_is_paid_once_is_spread_over_the_horizon_and_shown_apart():
    known = BARE.over(exact(setup_engineer_hours=96, engineer_usd_per_year=192_000, horizon_months=12))
    priced = one(machine(gpu_usd_per_hour=2), known=known)
    setup = next(line for line in priced.bill.lines if line.basis == "once")
    assert (setup.amount.likely, setup.once.likely) == (800, 9600)
    assert priced.bill.total - priced.bill.running == Range.exact(800)
    # A reservation that outlives the horizon is paid to its end.
    short = BARE.over(exact(horizon_months=6, reserved_term_months=12, reserved_discount="0.5"))
    leaving = next(
        line for line in one(machine("reserved", gpu_usd_per_hour=2), known=short).bill.lines if line.id == "exit"
    )
    assert leaving.once.likely == 6 * 730


def test_cache_batch_retries_and_a_minimum_of_an_api():
    way = bought(
        1, 5, cache_read_share="0.5", cache_read_ratio="0.1", batch_share="0.2", batch_price_ratio="0.5",
        attempts_per_answer="1.5", minimum_usd_per_month=2000, usd_per_request="0.001",
    )  # fmt: skip
    priced = one(way, load("1000e6", "100e6", requests=Range.exact(10_000)))
    # 500 + 50 for input, 500 for output, a tenth less for batch, half of it again, 15 USD for attempts.
    assert by_id(priced) == {
        "api_input": 550, "api_output": 500, "api_variants": -105, "retries": Decimal("472.5"),
        "request_fees": 15, "commitment": Decimal("582.5"),
    }  # fmt: skip
    assert priced.usd_per_month.likely == Decimal(2015)


def test_opportunity_is_never_in_the_cash():
    known = FULL.over(exact(opportunity_multiplier="1.5"))
    plain, priced = one(machine(), known=FULL), one(machine(), known=known)
    assert priced.usd_per_month == plain.usd_per_month
    assert priced.shadow.total.likely > 0
    assert not plain.shadow.lines


def test_a_hybrid_owns_the_base_and_buys_the_peak():
    night_and_day = tuple(Fraction(3 if 8 <= hour % 24 < 20 else 1) for hour in range(168))
    month = load("0", "3.2e9", shape=night_and_day)
    hybrid = Way("mix", "hybrid", base=machine(gpu_usd_per_hour=2), overflow=bought(1, 1))
    priced = one(hybrid, month)
    # One replica by night, three by day: two would serve half of the hours for 1,460 each, their tokens cost 800.
    assert (priced.replicas, priced.bought) == (1, Decimal("0.5"))
    assert by_id(priced) == {"gpu_on_demand": 1460, "api_output": 1600}
    # When the API is dear, all three pay, and nothing is bought.
    assert one(replace(hybrid, overflow=bought(5, 5)), month).replicas == 3


def test_a_model_that_does_not_fit_has_no_price():
    priced = one(replace(machine(), unfit="llama does not fit 1 x h100"))
    assert (priced.bill, priced.sentence) == (None, "llama does not fit 1 x h100")
    with pytest.raises(Unpriced, match="does not fit"):
        _ = priced.usd_per_month


def test_load_outside_the_hours_on_needs_an_api():
    office = machine(on=schedule("mon-fri:8-18"), gpu_usd_per_hour=2)
    month = load(shape=WEEK)
    assert "of the load falls in the hours" in one(office, month).sentence
    hybrid = Way("mix", "hybrid", base=office, overflow=bought(30, 30))
    priced = one(hybrid, month)
    assert priced.bought == pytest.approx(Decimal(float(month.outside(office.on))), abs=Decimal("1e-9"))


@pytest.mark.parametrize(
    ("way", "missing"),
    [
        (Way("api", "api", exact(api_input_usd_per_mtok=1)), "api_output_usd_per_mtok"),
        (bought(usd_per_request="0.01"), "requests_per_month"),
        (Way("own", "rented"), "replica_input_tokens_per_month"),
    ],
)
def test_what_is_not_known_is_never_zero(way, missing):
    with pytest.raises(Unpriced, match=missing):
        one(way)
    values = {name: float(figure.likely) for name, figure in ranges([way], load(), BARE).items()}
    with pytest.raises(Unpriced, match=missing):
        monthly_cost(way, load(), values)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: schedule("mon:8-8"), "0 hours"),
        (lambda: schedule("mon-sod:8-9"), "no day"),
        (lambda: schedule("mon-fry:8-9"), "fry"),
        (lambda: schedule("mon:8-25"), "25"),
        (lambda: schedule("always"), "no schedule"),
        (lambda: replace(ALWAYS, on=(False,) * 168), "0 hours"),
        (lambda: load("0", "0"), "no load"),
        (lambda: load(shape=(Fraction(1),)), "cannot be read"),
        (lambda: machine(gpus=0), "0 GPUs"),
        (lambda: Way("mix", "hybrid", base=machine()), "a hybrid|hybrid with"),
        (lambda: one(machine(capacity="1000")), "400,000 replicas"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(make, says):
    with pytest.raises(BadInput, match=says) as caught:
        make()
    assert caught.value.remedy


def test_every_line_names_its_formula_inputs_and_category():
    for priced in evaluate([bought(), *(machine(kind) for kind in KINDS)], load(), FULL):
        for line in priced.bill.lines:
            assert line.formula
            assert line.inputs
            assert line.category in ("Usage", "Purchase", "Tax", "Adjustment")
            assert float(line.quantity.likely * line.unit_price.likely) == pytest.approx(
                float(line.amount.likely), abs=1e-8
            )
            assert all(each.origin in ("option", "load", "default") for each in line.inputs)


money = st.decimals("0.01", 20, places=2)
shares = st.decimals(0, 1, places=2)
schedules = st.sampled_from([ALWAYS, schedule("mon-fri:8-18"), schedule("22-6"), schedule("sat:0-24,sun:3-4")])


@st.composite
def worlds(draw):
    """A load, an API, a way on machines, a hybrid of both, and assumptions."""
    kind = draw(st.sampled_from(KINDS))
    shape = draw(st.sampled_from([(), WEEK]))
    on = ALWAYS if shape else draw(schedules)
    month = load(str(draw(st.integers(1, 4_000)) * 10**6), str(draw(st.integers(0, 2_000)) * 10**6), shape=shape)
    way = machine(kind, str(draw(st.integers(500, 3_000)) * 10**6), on, draw(st.integers(1, 8)))
    way = replace(way, figures={**way.figures, **exact(gpu_usd_per_hour=draw(money))})
    over = exact(
        target_fill=draw(st.decimals("0.3", 1, places=2)), peak_over_mean=draw(st.decimals(1, 4, places=1)),
        spare_replicas=draw(st.integers(0, 2)), minimum_usd_per_month=draw(st.sampled_from([0, 500])),
        attempts_per_answer=draw(st.decimals(1, 2, places=2)), cache_read_share=draw(shares),
        batch_share=draw(shares), tax_share=draw(shares), life_years=draw(st.sampled_from([3, "3.3", 5])),
        minimum_billing_hours=draw(st.sampled_from([0, 12])), opportunity_multiplier=2,
    )  # fmt: skip
    known = (FULL if draw(st.booleans()) else BARE).over(over)
    api = bought(draw(money), draw(money))
    return month, api, way, Way("mix", "hybrid", base=way, overflow=api), known


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_bill_is_the_sum_of_its_lines_and_the_fast_twin_says_the_same(world):
    month, api, way, hybrid, known = world
    options = [api, way, hybrid]
    figures = ranges(options, month, known)
    floats = {name: float(figure.likely) for name, figure in figures.items()}
    priced = evaluate(options, month, known)
    for option, each in zip(options, priced, strict=True):
        cost = each.usd_per_month
        lines = each.bill.lines
        assert cost.likely == sum((line.amount.likely for line in lines), Decimal(0))
        nanos = [line.amount.likely * 10**9 for line in lines]
        assert all(nano == nano.to_integral_value() for nano in nanos)
        exactly = cost_at(option, month, likely_fractions(figures))
        assert abs(Fraction(cost.likely) - exactly) <= Fraction(1, 10**9)
        assert monthly_cost(option, month, floats) == pytest.approx(float(exactly), rel=1e-9)
        assert cost.low <= cost.likely <= cost.high
        assert each.bill.used.likely <= cost.likely
    # A hybrid may always be one of the two it is made of.
    assert priced[2].usd_per_month.likely <= min(each.usd_per_month.likely for each in priced[:2]) + Decimal("1e-9")


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(1, 3_000), st.integers(0, 3_000))
def test_more_volume_never_costs_less_at_a_flat_price(world, more_read, more_written):
    month, api, way, hybrid, known = world
    larger = replace(
        month,
        input_tokens=month.input_tokens + Range.exact(more_read * 10**6),
        output_tokens=month.output_tokens + Range.exact(more_written * 10**6),
    )
    small, large = (evaluate([api, way, hybrid], each, known) for each in (month, larger))
    for before, after in zip(small, large, strict=True):
        assert before.usd_per_month.likely <= after.usd_per_month.likely + Decimal("1e-9")


@settings(max_examples=15, deadline=None)
@given(worlds(), st.lists(st.tuples(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(1, 4)), min_size=2, max_size=5))
def test_samples_at_once_cost_what_they_cost_one_by_one(world, samples):
    numpy = pytest.importorskip("numpy")
    month, api, way, hybrid, known = world
    floats = {name: float(figure.likely) for name, figure in ranges([api, way, hybrid], month, known).items()}
    columns = list(zip(*samples, strict=True))
    names = ("output_tokens_per_month", f"{way.name}.gpu_usd_per_hour", "peak_over_mean")
    base = (month.output_tokens.likely, way.figures["gpu_usd_per_hour"].likely, 1)
    scaled = {
        name: numpy.array(column) * float(start) for name, column, start in zip(names, columns, base, strict=True)
    }
    for option in (api, way, hybrid):
        together = monthly_cost(option, month, floats | scaled) + numpy.zeros(len(samples))
        assert together.dtype == float
        for at, cost in enumerate(together):
            alone = monthly_cost(option, month, floats | {name: float(column[at]) for name, column in scaled.items()})
            assert cost == pytest.approx(alone, rel=1e-12)
