"""Every figure of the articles against the engine: what comes out, what stands beside, that nothing is hard-coded."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from baseload.capacity.curve import Curve
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.cost.bill import Bill, Line
from baseload.cost.tokens import price
from baseload.errors import BadInput
from baseload.plan.articles import RECIPES, recompute
from baseload.plan.articles_figures import Figure, Rounding, short, spread
from baseload.plan.articles_node import api_hour, usd_per_mtok
from baseload.ranges import Range
from baseload.units import usd
from baseload.usage import Usage

ROOT = Path(__file__).parent.parent.parent


def _load(path: Path):
    spec = spec_from_file_location("articles_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


page = _load(ROOT / "docs" / "articles.py")
ARTICLES = page.read()
FIGURES = ARTICLES.figures
BY_ENGINE = {
    engine: [each.id for each in FIGURES.values() if each.engine == engine]
    for engine in ("reproduce", "show_beside", "inform")
}


@pytest.fixture(scope="module")
def books():
    return page.books(ARTICLES)


# How many figures of each article are owed what: counted in the list of figures that the articles were checked with.
OWED = {
    0: {"reproduce": 32, "show_beside": 23, "inform": 8},
    1: {"reproduce": 19, "show_beside": 5, "inform": 3},
    2: {"reproduce": 44, "show_beside": 4, "inform": 5},
    3: {"reproduce": 25, "show_beside": 7, "inform": 1},
    4: {"reproduce": 11, "show_beside": 4, "inform": 1},
}


def test_all_192_are_here_and_none_was_moved_to_an_easier_class():
    counted = Counter((each.article, each.engine) for each in FIGURES.values())
    assert {number: {engine: counted[number, engine] for engine in BY_ENGINE} for number in OWED} == OWED
    assert len(FIGURES) == 192
    assert {engine: len(ids) for engine, ids in BY_ENGINE.items()} == {
        "reproduce": 131,
        "show_beside": 43,
        "inform": 18,
    }


def test_every_figure_that_can_be_computed_has_its_function_and_no_other():
    assert set(RECIPES) == {*BY_ENGINE["reproduce"], *BY_ENGINE["show_beside"]}


@pytest.mark.parametrize("figure_id", BY_ENGINE["reproduce"])
def test_it_comes_out(figure_id, books):
    figure, ours = FIGURES[figure_id], recompute(figure_id, books)
    assert ours.printed == figure.wanted, f"{figure_id}: {ours.ours} is not {figure.wanted}: {ours.how}"
    assert ours.exact
    assert ours.how
    if not figure.rounds:
        assert ours.ours == figure.wanted


@pytest.mark.parametrize("figure_id", BY_ENGINE["show_beside"])
def test_ours_stands_beside_it_with_the_reason(figure_id, books):
    figure, ours = FIGURES[figure_id], recompute(figure_id, books)
    assert figure.value is not None
    assert ours.ours is not None
    assert ours.ours != figure.value
    assert len(ours.reason) > 20
    assert ours.how


@pytest.mark.parametrize("figure_id", BY_ENGINE["inform"])
def test_it_says_what_it_is_used_for(figure_id, books):
    sort, _, words = FIGURES[figure_id].used_for.partition(": ")
    assert sort in {"prior", "default", "rule", "story"}
    assert words
    with pytest.raises(BadInput, match="not a figure that can be recomputed"):
        recompute(figure_id, books)


# What whoever checked the articles by hand found, digit by digit; ours must be that, at the digits they wrote.
BY_HAND = [
    ("A0-A1", "7.5", 1),
    ("A0-A3", {"machine_alone": ("53.3", "106.7")}, 1),
    ("A0-B3", {"machine_alone": ("2.67", "5.33"), "plus_flat_overhead": ("6.67", "9.33")}, 2),
    ("A0-R1", {"box": ("133333333", "266666667"), "plus_flat_overhead": ("333333333", "466666667")}, 0),
    ("A0-R3", {"box": ("533333333", "1066666667"), "plus_flat_overhead": ("733333333", "1266666667")}, 0),
    ("A0-R6", ("0.250", "0.855"), 3),
    ("A0-T4", ("27", "100"), 0),
    ("A0-T5", {"total": "80", "active": "13"}, 0),
    ("A1-03", {"owned": ("1.61", "3.25")}, 2),
    (
        "A1-08",
        {"per_token": ("10000000", "20000000"), "per_thousand": ("10000", "20000"), "per_million": ("10", "20")},
        0,
    ),
    ("A1-15", {"its_own_case": "0.8298"}, 4),
    ("A2-03", {"qwen3-8b": {"output": "1000.0", "3:1": "437.5"}}, 1),
    ("A2-05", {"deepseek-v4-flash": {"output": "40.0", "input": "13.9"}}, 1),
    ("A2-R31", {"ranks_out_of_order": ("18", "20", "29", "30")}, 0),
    ("A3-12", {"at_tariff": ("569", "759"), "with_pue": ("877", "1169")}, 0),
    ("A3-12", {"implied_usd_per_kwh": ("0.1598", "0.2055")}, 4),
    ("A3-U1", {"tok_s": "620.00", "tok_month": "1629360000.00", "usd_per_mtok": ("7.17", "10.75")}, 2),
    ("A3-U2", {"tok_month": "814680000.00", "usd_per_mtok": ("14.34", "21.51")}, 2),
    ("A3-U3", {"tok_month": "325872000.00", "usd_per_mtok": ("35.84", "53.76")}, 2),
    ("A3-U4", {"tok_month": "81468000.00", "usd_per_mtok": ("143.37", "215.05")}, 2),
    ("A3-16", {"output_only": ("2.06", "3.09"), "same_traffic": ("0.71", "1.06"), "api_usd_per_hour": "22.68"}, 2),
    ("A4-05", {"cost": "2700", "api_mid_tier": "2400"}, 0),
    (
        "A4-06",
        {
            "light": "800",
            "deepseek-v4-flash": "70",
            "llama-4-maverick": "154",
            "glm-5.2": "860",
            "deepseek-v4-pro": "870",
        },
        0,
    ),
    ("A4-07", {"light": ("2000", "4000"), "mid": ("6000", "12000"), "frontier": ("30000", "60000")}, 0),
]


def _at(value, places):
    """A value at so many decimals, as text, to compare with what is written by hand."""
    if isinstance(value, Decimal):
        return f"{round(value, places):f}"
    if isinstance(value, dict):
        return {key: _at(each, places) for key, each in value.items()}
    return tuple(_at(each, places) for each in value) if isinstance(value, tuple) else value


def _part(value, like):
    """Only the parts of a value that are compared."""
    return {key: _part(value[key], each) for key, each in like.items()} if isinstance(like, dict) else value


@pytest.mark.parametrize(("figure_id", "expected", "places"), BY_HAND)
def test_ours_is_what_was_found_by_hand(figure_id, expected, places, books):
    assert _at(_part(recompute(figure_id, books).ours, expected), places) == expected


@pytest.mark.parametrize(
    ("figure_id", "machine"),
    [
        ("A0-H01", "4 x a100-80gb"),
        ("A0-H02", "8 x h200-141gb"),
        ("A0-H03", "2 x a100-80gb"),
        ("A0-H04", "1 x a100-40gb"),
        ("A0-H09", "4 x a100-80gb"),
    ],
)
def test_a_model_is_put_where_it_fits(figure_id, machine, books):
    ours = recompute(figure_id, books).ours
    assert isinstance(ours, dict)
    assert ours["machine"] == machine


@pytest.mark.parametrize(
    ("model", "book", "usd_per_hour"),
    [
        ("deepseek-v4-pro", "article-3", "22.68"),
        ("deepseek-v4-pro", "article-2", "6.62"),
        ("deepseek-v4-flash", "article-3", "1.82"),
        ("glm-5.2", "article-3", "21.82"),
        ("mid", "article-4", "59.18"),
        ("frontier", "article-4", "295.92"),
    ],
)
def test_the_nodes_hour_at_each_price(model, book, usd_per_hour, books):
    assert round(api_hour(books, model, book), 2) == Decimal(usd_per_hour)


# The identities, through the engine's own functions on the figures alone.
@pytest.mark.parametrize(
    ("read", "written", "rates", "expected"),
    [
        (0, 1_500_000_000, ("0", "0.25"), "375"),
        (0, 15_000_000_000, ("0", "0.25"), "3750"),
        (0, 15_000_000_000, ("0", "0.28"), "4200"),
        (0, 30_000_000, ("0", "0.25"), "7.5"),
        (300_000_000, 100_000_000, ("3", "15"), "2400"),
        (300_000_000, 100_000_000, ("15", "75"), "12000"),
        (300_000_000, 100_000_000, ("1", "5"), "800"),
    ],
)
def test_token_cost_is_tokens_times_price(read, written, rates, expected):
    row = PriceRow(Rates(input=Decimal(rates[0]), output=Decimal(rates[1])))
    offer = Offer("a", "b", Source("test", Precedence.YOURS, date(2026, 1, 1), "test"), (row,))
    charge = price(Usage(input_tokens=read, output_tokens=written), offer, datetime(2026, 6, 17, tzinfo=UTC))
    assert usd(charge.nanousd) == Decimal(expected)


@pytest.mark.parametrize(
    ("fill", "low", "high"), [("1", "7.17", "10.75"), ("0.5", "14.34", "21.51"), ("0.05", "143.37", "215.05")]
)
def test_a_node_per_million_output_tokens(fill, low, high):
    cost = usd_per_mtok(Range.between(16, 24), 620 * Decimal(fill))
    assert (round(cost.low, 2), round(cost.high, 2)) == (Decimal(low), Decimal(high))


def test_every_identity_holds_for_its_figures(books):
    assert len(ARTICLES.identities) == 15
    for identity in ARTICLES.identities:
        for figure_id in identity["figures"]:
            if FIGURES[figure_id].engine == "reproduce":
                assert recompute(figure_id, books).exact, identity["name"]
    assert len(ARTICLES.inconsistencies) == 33
    named = {each for row in [*ARTICLES.inconsistencies, *ARTICLES.identities] for each in row["figures"]}
    assert named <= FIGURES.keys()
    assert all(row["claim"] and row["ours"] for row in ARTICLES.inconsistencies)


def _offers(books, output, input=None):
    """Every price of every article changed; the market's stay, so that ratios move as well."""

    def changed(rates: Rates) -> Rates:
        return replace(
            rates,
            input=None if rates.input is None else (input or output)(rates.input),
            output=None if rates.output is None else output(rates.output),
        )

    offers = [
        replace(offer, schedule=tuple(replace(row, rates=changed(row.rates)) for row in offer.schedule))
        if offer.source.book.startswith("article-")
        else offer
        for offer in books.catalog.offers
    ]
    return replace(books, catalog=Catalog(offers, books.catalog.machines, page._leases(books.catalog)))


def _leases(books, factor):
    leases = [
        replace(
            lease,
            **{
                name: amount * factor
                for name in ("usd_per_gpu_hour", "usd_per_month", "purchase_usd")
                if (amount := getattr(lease, name)) is not None
            },
        )
        for lease in page._leases(books.catalog)
    ]
    return replace(books, catalog=Catalog(books.catalog.offers, books.catalog.machines, leases))


def _stacks(books, factor):
    def dearer(stack: Bill) -> Bill:
        return Bill(tuple(Line(each.component, each.amount * factor, each.how, each.source) for each in stack.lines))

    return replace(books, owned=dearer(books.owned), rented=dearer(books.rented))


def _engines(books):
    """Every deployment at half its speed."""
    slow = {
        name: replace(
            each,
            curve=Curve(each.curve.fixed_seconds * 2, each.curve.seconds_per_request * 2, each.curve.gamma, 100),
            saturated=each.saturated
            and replace(
                each.saturated,
                input_tokens_per_second=each.saturated.input_tokens_per_second / 2,
                output_tokens_per_second=each.saturated.output_tokens_per_second / 2,
            ),
        )
        for name, each in books.deployments.items()
    }
    return replace(books, deployments=slow)


def _models(books):
    """Every model ten times as large."""
    large = {
        name: replace(each, total_parameters=each.total_parameters * 10, active_parameters=each.active_parameters * 10)
        for name, each in books.architectures.items()
    }
    return replace(books, architectures=large)


def _cards(books):
    """Every card with twice the power and a quarter of the memory."""
    machines = [replace(each, watts=each.watts * 2, memory_gb=each.memory_gb / 4) for each in books.catalog.machines]
    return replace(books, catalog=Catalog(books.catalog.offers, machines, page._leases(books.catalog)))


def _inputs(books, change, only=""):
    """Every number that an article assumes, or those of one name."""

    def changed(value):
        if isinstance(value, Decimal):
            return change(value)
        return tuple(changed(each) for each in value) if isinstance(value, tuple) else value

    figures = {
        each.id: replace(
            each,
            inputs={
                name: changed(value) if only in {"", name} else value for name, value in (each.inputs or {}).items()
            },
        )
        for each in books.figures.values()
    }
    return replace(books, figures=figures)


# These are rules of the product's own: how bills are made, its buckets, its five questions. Only other code moves them.
BY_CONSTRUCTION = {
    *("A0-C09", "A4-10", "A3-25", "A2-B1", "A2-B2", "A2-B3"),
    *("A1-18", "A1-19", "A1-20", "A1-21", "A1-22", "A1-23", "A1-26"),
}


def test_no_figure_is_hard_coded(books):
    """Each one moves when the books, the machines or the article's assumptions do."""
    mutants = [
        _offers(books, lambda rate: rate * 5, lambda rate: rate * 3),
        _offers(books, lambda rate: max(Decimal(2) - rate, Decimal(0))),
        _leases(books, 2),
        _stacks(books, 2),
        _engines(books),
        _models(books),
        _cards(books),
        replace(books, days_per_month=31),
        replace(books, components=frozenset()),
        _inputs(books, lambda number: number + 1),
        _inputs(books, lambda number: number * 3),
        _inputs(books, lambda number: number / 2),
        _inputs(books, lambda number: number * 10, only="capacity"),
        _inputs(books, lambda number: number * 1000, only="tokens_per_month"),
        _inputs(books, lambda number: number / 1000, only="tokens_per_month"),
    ]
    still = {
        figure_id
        for figure_id in RECIPES
        if all(_value(figure_id, mutant) in (None, _value(figure_id, books)) for mutant in mutants)
    }
    assert still == BY_CONSTRUCTION


def _value(figure_id, books):
    """Its value, or nothing where the changed books make no sense for it."""
    try:
        return recompute(figure_id, books).ours
    except (BadInput, ValueError, ArithmeticError, StopIteration, IndexError):
        return None


@pytest.mark.parametrize(
    ("figure_id", "change", "expected"),
    [
        ("A0-A1", lambda books: _offers(books, lambda rate: rate * 2), "15"),
        ("A0-Cc1", lambda books: replace(books, days_per_month=31), "3875"),
        ("A4-03", lambda books: _offers(books, lambda rate: rate * 2), "4800"),
        ("A4-09", lambda books: _leases(books, Decimal("0.5")), "0.75"),
        ("A3-08", lambda books: _leases(books, 2), "4000"),
        ("A0-C08", lambda books: _inputs(books, lambda number: number * 2), "3000"),
    ],
)
def test_it_moves_by_as_much_as_it_should(figure_id, change, expected, books):
    assert recompute(figure_id, change(books)).ours == Decimal(expected)


@pytest.mark.parametrize(
    ("rounding", "value", "printed"),
    [
        (Rounding(Decimal(500)), (Decimal(11_680), Decimal(17_520)), (Decimal(11_500), Decimal(17_500))),
        (Rounding(way="down"), Decimal("178.57"), Decimal(178)),
        (Rounding(way="decade"), (Decimal(200), Decimal(6_857)), (Decimal(100), Decimal(10_000))),
        (Rounding(way="decade"), (Decimal(100), Decimal(1_000)), (Decimal(100), Decimal(1_000))),
        (Rounding(Decimal(10), only="a"), {"a": Decimal(12), "b": Decimal(12)}, {"a": Decimal(10), "b": Decimal(12)}),
        (Rounding(), "words", "words"),
    ],
)
def test_an_articles_rounding(rounding, value, printed):
    assert rounding.apply(value) == printed


def test_a_figure_without_its_inputs_says_which(books):
    bare = {**FIGURES, "A0-A1": replace(FIGURES["A0-A1"], inputs={"model": Decimal(1)})}
    with pytest.raises(BadInput, match="A0-A1 has model") as raised:
        recompute("A0-A1", replace(books, figures=bare))
    assert raised.value.remedy == "Give a word as model in its inputs."
    with pytest.raises(BadInput, match="'A9-1' is not a figure"):
        recompute("A9-1", books)


def test_numbers_in_sentences():
    assert short(Decimal(1629360000)) == "1,629,360,000"
    assert short(Decimal("7.168")) == "7.17"
    assert spread((Decimal(2), Decimal(2))) == "2"


def test_figures_have_a_source_with_date_and_licence():
    assert [int(each["number"]) for each in ARTICLES.articles] == [0, 1, 2, 3, 4]
    assert all(each["title"] and each["licence"] and date.fromisoformat(each["date"]) for each in ARTICLES.articles)
    assert all(isinstance(each, Figure) and each.article in OWED for each in FIGURES.values())


def test_the_page_is_fresh_and_lists_every_figure():
    text = page.PAGE.read_text(encoding="utf-8")
    assert text == page.page(), "stale: run `make docs`"
    listed = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| A")]
    assert listed == list(FIGURES)
    assert "Owed and not met" not in text
