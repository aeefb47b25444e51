"""What a successful outcome costs, model by model and as a cascade: the document behind `baseload outcome`. Pure.

Schema `baseload.outcome/1`. A range is worked out at its ends: cheapest where tries cost least and succeed most often,
dearest the other way round, which bounds every case between. H* is the cost of a correction by hand above which the
safer of two ways is the cheaper one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Literal

import msgspec

from baseload.catalog.books import Catalog
from baseload.catalog.choice import choose
from baseload.catalog.entries import Offer
from baseload.cost.outcomes import Expected, Service, cascade, turning_correction
from baseload.errors import BadInput
from baseload.plan.document import plain
from baseload.plan.options import TokenPrice, day_rates
from baseload.plan.scenario import Figure, OutcomeModel, Outcomes, count, span, typed_price
from baseload.ranges import Range
from baseload.units import TOKENS_PER_MTOK, is_usd

SCHEMA = "baseload.outcome/1"
MOST_MODELS = 20
End = Literal["low", "likely", "high"]
_ENDS: tuple[End, ...] = ("low", "likely", "high")
_OTHER: dict[End, End] = {"low": "high", "likely": "likely", "high": "low"}
# A try may cost less than a nano-dollar's worth of tokens; twelve decimals keep what a price sheet prints.
_PLACES = Decimal("1e-12")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure at its cheapest end, as it is likely, at its dearest end."""

    low: Decimal
    likely: Decimal
    high: Decimal


class Turning(msgspec.Struct, frozen=True, kw_only=True):
    """USD for a correction by hand above which the safer way is cheaper; null where no correction makes it so."""

    low: Decimal | None
    likely: Decimal | None
    high: Decimal | None


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it was asked: what a try costs, how often it succeeds; of a price from a book which and why."""

    name: str
    usd_per_try: Spread
    success: Spread
    tries: int
    offer: str | None
    book: str | None
    as_of: date | None
    why: str


class WayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve the task: `usd` for all its tries, the share that is `failing` after them, and what one
    success costs with corrections, or dropped failures, counted in."""

    name: str
    usd: Spread
    failing: Spread
    usd_per_success: Spread


class TurnEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Of two ways the one whose tries cost less, the other one, and H* between them."""

    cheaper: str
    safer: str
    correction_usd: Turning
    sentence: str


class OutcomeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every way, cheapest success first. `sure`: the winner's dearest case is not above any other's cheapest."""

    schema: str
    at: datetime
    input_tokens: Decimal
    output_tokens: Decimal
    correction_usd: Spread | None
    check_usd: Spread
    models: tuple[ModelEntry, ...]
    ways: tuple[WayEntry, ...]
    winner: str
    sure: bool
    turning: tuple[TurnEntry, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class _Model:
    """A model with its ranges read."""

    name: str
    usd: Range
    success: Range
    tries: int
    price: TokenPrice | None

    def at(self, end: End) -> Service:
        """The model where it is cheapest, likely or dearest."""
        return Service(self.name, getattr(self.usd, end), getattr(self.success, _OTHER[end]), self.tries)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way, at its three ends."""

    name: str
    ends: dict[End, Expected]


def answer_outcomes(asked: Outcomes, catalog: Catalog | None, when: datetime) -> OutcomeDocument:
    """Weigh the models of a task at an aware UTC datetime. `catalog` may be None where no model is named.

    Raises BadInput for a share outside 0 to 1, no try, negative money or an outcome that nothing delivers, UnknownModel
    and Unpriced for a model that the books cannot price.
    """
    read, written = count("input", asked.input), count("output", asked.output)
    models = [_model(each, read, written, catalog, when) for each in asked.models]
    _check_names([each.name for each in models], asked)
    check = _usd("check", asked.check)
    correction = None if asked.correction is None else _usd("correction", asked.correction)
    ways = [_Way(each.name, {end: each.at(end).expected for end in _ENDS}) for each in models]
    if asked.cascade:
        ways.append(
            _Way(
                " then ".join(each.name for each in models),
                {end: cascade([each.at(end) for each in models], getattr(check, end)) for end in _ENDS},
            )
        )
    entries = sorted((_way_entry(way, correction) for way in ways), key=lambda each: each.usd_per_success.likely)
    winner, sure = entries[0], all(entries[0].usd_per_success.high <= each.usd_per_success.low for each in entries[1:])
    return OutcomeDocument(
        schema=SCHEMA,
        at=when,
        input_tokens=plain(read),
        output_tokens=plain(written),
        correction_usd=None if correction is None else _spread(correction),
        check_usd=_spread(check),
        models=tuple(_model_entry(each) for each in models),
        ways=tuple(entries),
        winner=winner.name,
        sure=sure,
        turning=tuple(_turns(ways)),
        sentence=_sentence(entries, sure=sure, dropped=correction is None),
    )


def usd_words(figure: Decimal) -> str:
    """USD with cents, or with four digits where cents would say nothing.

    >>> usd_words(Decimal("12.5")), usd_words(Decimal("0.00031249")), usd_words(Decimal(0))
    ('12.50', '0.0003125', '0.00')
    """
    if figure and abs(figure) < 1:
        return f"{Decimal(f'{figure:.4g}'):f}"
    return f"{figure:,.2f}"


def spread_words(spread: Spread | Turning) -> str:
    """One figure, or low to high with the likely one."""
    low, likely, high = (
        "never" if each is None else usd_words(each) for each in (spread.low, spread.likely, spread.high)
    )
    return likely if low == likely == high else f"{low} to {high}, likely {likely}"


def _model(asked: OutcomeModel, read: Decimal, written: Decimal, catalog: Catalog | None, when: datetime) -> _Model:
    given = [each for each in (asked.model, asked.price, asked.usd_per_try) if each not in ("", None)]
    if len(given) != 1:
        raise BadInput(
            f"the model {asked.name or asked.model or asked.price!r} needs one price and has {len(given)}",
            remedy="Give a model of the books, a price such as 3/15, or usd_per_try.",
        )
    name = asked.name or str(given[0])
    price: TokenPrice | None = None
    if asked.usd_per_try is not None:
        usd = _usd(f"a try of {name}", asked.usd_per_try)
    else:
        if not read + written:
            raise BadInput(
                f"{name} is priced by the token, and a try has none",
                remedy="Give input and output tokens of one try, or usd_per_try.",
            )
        price = _named(asked.model, read, written, catalog, when) if asked.model else typed_price(name, asked.price)
        usd = _money(f"a try of {name}", (price.input * read + price.output * written) / TOKENS_PER_MTOK)
    model = _Model(name, usd, _share(name, asked.success), asked.tries, price)
    for end in _ENDS:
        model.at(end)
    return model


def _named(model: str, read: Decimal, written: Decimal, catalog: Catalog | None, when: datetime) -> TokenPrice:
    if catalog is None:
        raise BadInput(f"{model} stands in no book: none was read", remedy="Read the catalog first.")

    def rates(offer: Offer) -> TokenPrice:
        return day_rates(offer, when, int(read))

    def usd(offer: Offer) -> Decimal:
        price = rates(offer)
        return price.input.likely * read + price.output.likely * written

    chosen = choose(catalog, model, usd)
    return replace(rates(chosen.offer), why=chosen.why)


def _usd(what: str, figure: Figure) -> Range:
    return _money(what, span(what, figure))


def _money(what: str, found: Range) -> Range:
    if not (is_usd(found.low) and is_usd(found.high)):
        raise BadInput(f"{what} costs {found.high:.3e} USD", remedy="Give USD from 0 up to a thousand million.")
    return found


def _share(name: str, figure: Figure) -> Range:
    """`0.9`, `90%`, or a range of either."""
    text = str(figure)
    found = span(f"the success of {name}", text.replace("%", ""))
    return found / 100 if "%" in text else found


def _check_names(names: Sequence[str], asked: Outcomes) -> None:
    if not 1 <= len(names) <= MOST_MODELS:
        raise BadInput(f"{len(names)} models are to be weighed", remedy=f"Give 1 to {MOST_MODELS}.")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(f"{', '.join(doubled)} was given twice", remedy="Give each model once, or a name to each.")
    if len(names) == 1 and (asked.cascade or asked.check):
        raise BadInput("a cascade needs a second model", remedy="Give the small model and the large one.")
    if asked.check and not asked.cascade:
        raise BadInput("a check belongs to a cascade, and none was asked for", remedy="Add cascade, or drop the check.")


def _way_entry(way: _Way, correction: Range | None) -> WayEntry:
    def success(end: End) -> Decimal:
        return way.ends[end].per_success(None if correction is None else getattr(correction, end))

    try:
        return WayEntry(
            name=way.name,
            usd=_ends(*(way.ends[end].cost for end in _ENDS)),
            failing=_ends(*(way.ends[end].failing for end in _ENDS)),
            usd_per_success=_ends(*(success(end) for end in _ENDS)),
        )
    except BadInput as error:
        raise BadInput(f"{way.name}: {error.message}", remedy=error.remedy) from error


def _turns(ways: Sequence[_Way]) -> list[TurnEntry]:
    """H* of every two ways of which the one is cheaper to try and the other fails less often."""
    found = []
    for one, other in combinations(ways, 2):
        cheap, safe = sorted((one, other), key=lambda way: way.ends["likely"].cost)
        if safe.ends["likely"].failing < cheap.ends["likely"].failing:
            turning = Turning(**{end: _turn(cheap.ends[_OTHER[end]], safe.ends[end]) for end in _ENDS})
            words = f"{safe.name} wins over {cheap.name} once a correction by hand costs more than "
            found.append(
                TurnEntry(
                    cheaper=cheap.name,
                    safer=safe.name,
                    correction_usd=turning,
                    sentence=f"{words}{spread_words(turning)} USD",
                )
            )
    return found


def _turn(cheap: Expected, safe: Expected) -> Decimal | None:
    found = turning_correction(cheap, safe)
    return None if found is None else plain(found, _PLACES)


def _sentence(entries: Sequence[WayEntry], *, sure: bool, dropped: bool) -> str:
    first = entries[0]
    words = f"A success costs least with {first.name}: {usd_words(first.usd_per_success.likely)} USD"
    if len(entries) > 1:
        second = entries[1]
        gap = second.usd_per_success.likely - first.usd_per_success.likely
        share = gap / second.usd_per_success.likely if second.usd_per_success.likely else Decimal(0)
        words += f", {usd_words(gap)} ({share:.0%}) less than {second.name}"
        words += "." if sure else "; the ranges overlap, so that it is likely and not certain."
    else:
        words += "."
    return words + (" Failures are dropped: nobody puts them right." if dropped and first.failing.likely else "")


def _model_entry(model: _Model) -> ModelEntry:
    source = model.price.source if model.price is not None else None
    return ModelEntry(
        name=model.name,
        usd_per_try=_spread(model.usd),
        success=_spread(model.success),
        tries=model.tries,
        offer=model.price.name if model.price is not None and source is not None else None,
        book=source.book if source is not None else None,
        as_of=source.as_of if source is not None else None,
        why=model.price.why if model.price is not None else "",
    )


def _spread(figure: Range) -> Spread:
    return _ends(figure.low, figure.likely, figure.high)


def _ends(low: Decimal | Fraction, likely: Decimal | Fraction, high: Decimal | Fraction) -> Spread:
    return Spread(low=plain(low, _PLACES), likely=plain(likely, _PLACES), high=plain(high, _PLACES))
