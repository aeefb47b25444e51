"""The cost of a success over ranges: bounds that hold, H* that turns, and what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source, Tier
from baseload.cost.outcomes import Service, cascade, turning_correction
from baseload.errors import BadInput, UnknownModel
from baseload.plan.outcomes import answer_outcomes
from baseload.plan.scenario import OutcomeModel, Outcomes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = Source("a book", Precedence.MARKET, date(2026, 11, 9), "a test")
LONG = Tier(1_000, Rates(Decimal(2), Decimal(8)))
CATALOG = Catalog(
    [
        Offer("openai", "gpt-4o", SOURCE, (PriceRow(Rates(Decimal(1), Decimal(4)), tiers=(LONG,)),)),
        Offer("reseller", "openai/gpt-4o", SOURCE, (PriceRow(Rates(Decimal("0.5"), Decimal(2))),)),
    ]
)


def model(usd, success, tries=1, name="m"):
    return OutcomeModel(name=name, usd_per_try=str(usd), success=str(success), tries=tries)


def ask(*models: OutcomeModel, **more: object):
    return answer_outcomes(Outcomes(models=models, **more), CATALOG, NOW)


SEVEN, SEVENTY = model(1, 0, 5, "7B"), model(10, 1, name="70B")


@pytest.mark.parametrize(("correction", "winner"), [("4.99", "7B"), ("5.01", "70B"), ("100", "70B")])
def test_the_articles_seven_against_seventy_billion(correction, winner):
    """Ten times the price in one shot, against five failed attempts and a correction by hand."""
    document = ask(SEVEN, SEVENTY, correction=correction)
    assert (document.winner, document.sure) == (winner, True)
    assert {way.name: way.usd_per_success.likely for way in document.ways} == {
        "7B": 5 + Decimal(correction),
        "70B": 10,
    }
    (turn,) = document.turning
    assert (turn.cheaper, turn.safer) == ("7B", "70B")
    assert {turn.correction_usd.low, turn.correction_usd.likely, turn.correction_usd.high} == {5}


def test_the_articles_model_that_fails_half_the_time_costs_twice():
    document = ask(model(1, "50%"))
    assert document.ways[0].usd_per_success.likely == 2
    assert "dropped" in document.sentence


def test_a_models_price_is_its_makers_own_at_the_length_of_its_prompt():
    for tokens, usd in ((1_000, Decimal("0.005")), (1_001, Decimal("0.010002"))):
        asked = Outcomes(models=(OutcomeModel(model="gpt-4o", success="1"),), input=tokens, output=1_000)
        (known,) = answer_outcomes(asked, CATALOG, NOW).models
        assert (known.offer, known.book, known.usd_per_try.likely) == ("openai/gpt-4o", "a book", usd)
        assert "maker's own" in known.why


FIGURE = st.integers(0, 50).map(lambda cents: Decimal(cents) / 10)
SHARE = st.integers(1, 100).map(lambda percent: Decimal(percent) / 100)


def ends(strategy):
    return st.tuples(strategy, strategy, strategy).map(sorted)


@given(ends(FIGURE), ends(SHARE), ends(FIGURE), ends(SHARE), ends(FIGURE), st.integers(1, 4), st.integers(1, 4))
def test_the_ends_bound_every_case_between(usd, success, usd2, success2, correction, tries, tries2):
    asked = (
        model(f"{usd[0]}-{usd[2]}", f"{success[0]}-{success[2]}", tries, "small"),
        model(f"{usd2[0]}-{usd2[2]}", f"{success2[0]}-{success2[2]}", tries2, "large"),
    )
    document = ask(*asked, cascade=True, correction=f"{correction[0]}-{correction[2]}")
    small = Service("small", usd[1], success[1], tries)
    large = Service("large", usd2[1], success2[1], tries2)
    between = {"small": small.expected, "large": large.expected, "small then large": cascade([small, large])}
    for way in document.ways:
        exact = between[way.name].per_success(correction[1])
        slack = Decimal("1e-9")
        assert way.usd_per_success.low - slack <= exact <= way.usd_per_success.high + slack
        assert way.usd_per_success.low <= way.usd_per_success.likely <= way.usd_per_success.high
    for turn in document.turning:
        exact = turning_correction(between[turn.cheaper], between[turn.safer])
        low, high = turn.correction_usd.low, turn.correction_usd.high
        assume(exact is not None)
        assert low is not None
        assert low <= exact + slack
        assert high is None or exact <= high + slack


@given(ends(FIGURE), ends(SHARE), FIGURE, SHARE)
def test_above_h_star_the_safer_one_wins_and_below_it_does_not(usd, success, usd2, success2):
    models = (model(usd[0], success[0], name="a"), model(usd2, success2, name="b"))
    for turn in ask(*models, correction="1").turning:
        at = turn.correction_usd.likely
        if at is not None:
            above = ask(*models, correction=f"{at + Decimal('0.01'):f}")
            assert above.winner == turn.safer
            if at > Decimal("0.01"):
                assert ask(*models, correction=f"{at - Decimal('0.01'):f}").winner == turn.cheaper


def test_ranges_that_overlap_leave_the_winner_in_doubt():
    document = ask(model("1-3", 1, name="a"), model(2, 1, name="b"), correction=0)
    assert not document.sure
    assert "overlap" in document.sentence or document.ways[0].usd_per_success == document.ways[1].usd_per_success
    assert ask(model("1-1.5", 1, name="a"), model(2, 1, name="b")).sure


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"models": ()}, "0 models"),
        ({"models": (model(1, "1.2"),)}, "no share from 0 to 1"),
        ({"models": (model(1, "0.5-1.5"),)}, "no share from 0 to 1"),
        ({"models": (model(1, "0.9-0.5"),)}, "is not a price"),
        ({"models": (model(1, "half"),)}, "success of m"),
        ({"models": (model(1, 1, 0),)}, "0 tries"),
        ({"models": (model("-1", 1),)}, "'-1'"),
        ({"models": (model("1e300", 1),)}, "costs 1.000e.300 USD"),
        ({"models": (model(1, 1),), "correction": "-2"}, "'-2'"),
        ({"models": (model(1, 0),)}, "m: every try fails and nobody corrects"),
        ({"models": (model(1, 1), model(2, 1))}, "m was given twice"),
        ({"models": (model(1, 1),), "cascade": True}, "second model"),
        ({"models": (model(1, 1), model(1, 1, name="n")), "check": "1"}, "belongs to a cascade"),
        ({"models": (OutcomeModel(name="x", success=1),)}, "needs one price and has 0"),
        ({"models": (OutcomeModel(model="gpt-4o", price="1/2", success=1),)}, "needs one price and has 2"),
        ({"models": (OutcomeModel(model="gpt-4o", success=1),)}, "a try has none"),
        ({"models": (OutcomeModel(name="x", price="3", success=1),), "input": 1}, "no slash"),
        ({"models": (OutcomeModel(name="x", price="5-3/1", success=1),), "input": 1}, "'5-3'"),
        ({"models": (model(1, 1),), "input": "many"}, "input: 'many' is not a quantity"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(asked, says):
    with pytest.raises(BadInput, match=says) as caught:
        answer_outcomes(Outcomes(**asked), CATALOG, NOW)
    assert caught.value.remedy


def test_a_name_that_no_book_knows():
    asked = Outcomes(models=(OutcomeModel(model="gpt-5o", success=1),), input=1)
    with pytest.raises(UnknownModel, match="gpt-5o"):
        answer_outcomes(asked, CATALOG, NOW)


def test_the_document_is_plain_json():
    document = ask(model("0.1-0.2", "60%", 3, "a"), model(1, 1, name="b"), correction="1-2", cascade=True)
    assert msgspec.json.decode(msgspec.json.encode(document))["schema"] == "baseload.outcome/1"
