"""A decision that can be repeated: its inputs, the books it read, and what came out. Pure.

A decision by the cost model keeps its whole question: the load as it was read, every way with its figures. So it is
repeated without the ledger, at the prices of its day; books that moved since are named.

Schema `baseload.frozen/1`. A book is known by the digest of its offers, so that a moved price is seen even where the
book's name stayed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from baseload.catalog.entries import Offer
from baseload.cost.parameters import Table
from baseload.errors import BadInput
from baseload.plan.answer import Answer
from baseload.plan.document import DecideDocument, plain
from baseload.plan.question import Question
from baseload.plan.scenario import Scenario

_CENT = 2
_FRACTION = re.compile(r"-?[0-9]{1,400}(/[1-9][0-9]{0,399})?")


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`when` is the moment prices were read for; `inputs` is the digest of `scenario` and `question`; `books` are
    digests by name of the books whose prices were used; `document` is the answer. By the cost model `question` is what
    was weighed, and of `scenario` only answers and outlay count."""

    schema: Literal["baseload.frozen/1"] = "baseload.frozen/1"
    version: str
    when: datetime
    scenario: Scenario
    inputs: str
    books: dict[str, str]
    document: Answer
    question: Question | None = None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An option's cost then and now, USD a month, to the cent; null where there was or is no such option."""

    option: str
    then_usd: Decimal | None
    now_usd: Decimal | None


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a decision came out again to the cent, and if not which option moved and which book did."""

    reproduced: bool
    options: tuple[Moved, ...]
    books: tuple[str, ...]
    sentence: str


def freeze(
    scenario: Scenario,
    document: Answer,
    *,
    when: datetime,
    books: Mapping[str, str],
    version: str,
    question: Question | None = None,
) -> Frozen:
    """Everything that a repetition needs."""
    return Frozen(
        version=version,
        when=when,
        scenario=scenario,
        inputs=digest(scenario, question),
        books=dict(books),
        document=document,
        question=question,
    )


def stored(frozen: Frozen) -> bytes:
    """As a file holds it."""
    encoded = msgspec.json.Encoder(decimal_format="number", enc_hook=_written).encode(frozen)
    return msgspec.json.format(encoded, indent=2) + b"\n"


def thaw(document: bytes, origin: str) -> Frozen:
    """Read it back. Raises BadInput where it was changed by hand or is something else."""
    try:
        found = msgspec.json.decode(document, type=Frozen, dec_hook=_read)
    except (msgspec.MsgspecError, BadInput, RecursionError) as error:
        raise BadInput(f"{origin}: {error}", remedy="Give a file that `baseload decide --save` wrote.") from error
    if digest(found.scenario, found.question) != found.inputs:
        raise BadInput(
            f"{origin}: its inputs are not those it was saved with", remedy="Save the decision anew instead of editing."
        )
    return found


def repeated(frozen: Frozen, again: DecideDocument, *, books: Mapping[str, str], version: str) -> Repeated:
    """Hold a repetition against what was frozen."""
    then, now = _costs(frozen.document), _costs(again)
    moved = tuple(
        Moved(option=name, then_usd=then.get(name), now_usd=now.get(name))
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    )
    names = sorted(name for name in {*frozen.books, *books} if frozen.books.get(name) != books.get(name))
    same = not moved and _winners(frozen.document) == _winners(again)
    return Repeated(
        reproduced=same, options=moved, books=tuple(names), sentence=_sentence(frozen, moved, names, version, same=same)
    )


def book_digest(offers: Iterable[Offer], book: str) -> str:
    """The digest of a book's offers, whatever their order; the day it was read does not count."""
    rows = sorted(repr((offer.key, offer.schedule)) for offer in offers if offer.source.book == book)
    return _sha("\n".join(rows).encode())


def table_digest(table: Table) -> str:
    """The digest of the parameter table: every default that a bill may stand on."""
    return _sha("\n".join(repr(parameter) for parameter in table.parameters).encode())


def books_of(question: Question) -> tuple[str, ...]:
    """The books whose figures the ways state."""
    ways = [part for way in question.ways for part in (way, *way.parts)]
    return tuple(sorted({source.book for way in ways for source in way.sources.values()}))


def digest(scenario: Scenario, question: Question | None = None) -> str:
    """The digest of the inputs; what is only for the reader counts too."""
    asked = scenario if question is None else (scenario, question)
    return _sha(msgspec.json.encode(asked, order="deterministic", enc_hook=_written))


def _written(figure: object) -> str:
    if isinstance(figure, Fraction):
        return str(figure)
    raise NotImplementedError(type(figure).__name__)


def _read(kind: type, text: object) -> Fraction:
    """A fraction as it was written: `5/3`."""
    if kind is not Fraction or not isinstance(text, str) or not _FRACTION.fullmatch(text):
        raise ValueError(f"{str(text)[:40]!r} is no fraction")
    return Fraction(text)


def _winners(document: DecideDocument) -> tuple[str, str | None]:
    """The cheapest option, and of its task the way that costs least for a success."""
    task = document.outcomes if isinstance(document, Answer) else None
    return document.verdict.cheapest, task.winner if task is not None else None


def _costs(document: DecideDocument) -> dict[str, Decimal]:
    return {option.name: plain(round(option.usd_per_month.likely, _CENT)) for option in document.options}


def _sentence(frozen: Frozen, moved: tuple[Moved, ...], books: list[str], version: str, *, same: bool) -> str:
    if same:
        where = "elsewhere" if frozen.question is None else "since: decide anew for today's prices"
        tail = f", though {', '.join(books)} moved {where}" if books else ""
        return (
            f"Reproduced to the cent: {len(frozen.document.options)} options, {frozen.document.verdict.cheapest}{tail}."
        )
    shown = ", ".join(f"{each.option} from {each.then_usd} to {each.now_usd} USD a month" for each in moved)
    if books:
        return f"Not the same: the book {', '.join(books)} moved; {shown}."
    reason = f"baseload was {frozen.version} and is {version}" if version != frozen.version else "no book moved"
    return f"Not the same: {reason}; {shown or 'another option is the cheapest'}."


def _sha(document: bytes) -> str:
    return "sha256:" + hashlib.sha256(document).hexdigest()
