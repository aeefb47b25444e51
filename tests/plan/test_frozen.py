from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.documents import load_scenarios
from baseload.errors import BadInput
from baseload.plan.answer import answer
from baseload.plan.frozen import book_digest, freeze, repeated, thaw
from baseload.plan.scenario import ScenarioPrice, pick

WHEN = datetime(2026, 11, 21, 9, tzinfo=UTC)
SCENARIO = pick(load_scenarios(), "article-4")
SOURCE = Source("acme", Precedence.MARKET, date(2026, 1, 1), "here")
OFFERS = [
    Offer("p", name, SOURCE, (PriceRow(Rates(Decimal(1), Decimal(2))),)) for name in ("a", "b")
]  # fmt: skip


def frozen(**books: str):
    return freeze(SCENARIO, answer(SCENARIO, (), WHEN.date()), when=WHEN, books=books, version="1")


def stored(found) -> bytes:
    return msgspec.json.Encoder(decimal_format="number").encode(found)


def test_it_survives_the_file():
    found = frozen(acme="sha256:1")
    assert thaw(stored(found), "x") == found


def test_the_same_again_is_reproduced():
    found = repeated(frozen(acme="1"), answer(SCENARIO, (), WHEN.date()), books={"acme": "1"}, version="2")
    assert found.reproduced
    assert (found.options, found.books) == ((), ())
    assert "to the cent" in found.sentence


def test_a_moved_price_names_its_book_and_the_cents():
    dearer = msgspec.structs.replace(
        SCENARIO, prices=(ScenarioPrice(name="mid-tier API", price="3/15.01"), SCENARIO.prices[1])
    )
    found = repeated(frozen(acme="1"), answer(dearer, (), WHEN.date()), books={"acme": "2"}, version="1")
    assert not found.reproduced
    assert found.books == ("acme",)
    (moved,) = found.options
    assert (moved.option, moved.then_usd, moved.now_usd) == ("mid-tier API", Decimal(2400), Decimal(2401))
    assert "acme" in found.sentence


def test_a_book_that_moved_elsewhere_does_not_break_it():
    found = repeated(frozen(acme="1"), answer(SCENARIO, (), WHEN.date()), books={"acme": "2"}, version="1")
    assert found.reproduced
    assert "acme moved elsewhere" in found.sentence


def test_a_newer_program_is_named_where_no_book_moved():
    other = pick(load_scenarios(), "article-3")
    found = repeated(frozen(), answer(other, (), WHEN.date()), books={}, version="2")
    assert not found.reproduced
    assert "baseload was 1 and is 2" in found.sentence


def test_edited_inputs_are_refused():
    found = frozen()
    edited = msgspec.structs.replace(found, scenario=msgspec.structs.replace(found.scenario, input="301M"))
    with pytest.raises(BadInput, match="not those it was saved with"):
        thaw(stored(edited), "x")


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"schema": "baseload.frozen/2"}'])
def test_what_is_no_frozen_decision_is_refused(text):
    with pytest.raises(BadInput):
        thaw(text, "x")


def test_a_books_digest_follows_its_prices_and_nothing_else():
    one = book_digest(OFFERS, "acme")
    assert one == book_digest(reversed(OFFERS), "acme")
    assert one == book_digest(
        [replace(each, source=replace(SOURCE, as_of=date(2026, 2, 2))) for each in OFFERS], "acme"
    )
    dearer = replace(OFFERS[0], schedule=(PriceRow(Rates(Decimal(1), Decimal("2.01"))),))
    assert one != book_digest([dearer, OFFERS[1]], "acme")
    assert one != book_digest(OFFERS, "other")
