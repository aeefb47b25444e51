"""A decision that can be repeated: its inputs, the books it read, and what came out. Pure.

Schema `baseload.frozen/1`. A book is known by the digest of its offers, so that a moved price is seen even where the
book's name stayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from baseload.catalog.entries import Offer
from baseload.errors import BadInput
from baseload.plan.answer import Answer
from baseload.plan.document import DecideDocument, plain
from baseload.plan.scenario import Scenario

_CENT = 2


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`when` is the moment prices were read for; `inputs` is the digest of `scenario`; `books` are digests by name of
    the books whose prices were used; `document` is the answer."""

    schema: Literal["baseload.frozen/1"] = "baseload.frozen/1"
    version: str
    when: datetime
    scenario: Scenario
    inputs: str
    books: dict[str, str]
    document: Answer


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


def freeze(scenario: Scenario, document: Answer, *, when: datetime, books: Mapping[str, str], version: str) -> Frozen:
    """Everything that a repetition needs."""
    return Frozen(
        version=version, when=when, scenario=scenario, inputs=digest(scenario), books=dict(books), document=document
    )


def thaw(document: bytes, origin: str) -> Frozen:
    """Read it back. Raises BadInput where it was changed by hand or is something else."""
    try:
        found = msgspec.json.decode(document, type=Frozen)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{origin}: {error}", remedy="Give a file that `baseload decide --save` wrote.") from error
    if digest(found.scenario) != found.inputs:
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
    same = not moved and frozen.document.verdict.cheapest == again.verdict.cheapest
    return Repeated(
        reproduced=same, options=moved, books=tuple(names), sentence=_sentence(frozen, moved, names, version, same=same)
    )


def book_digest(offers: Iterable[Offer], book: str) -> str:
    """The digest of a book's offers, whatever their order; the day it was read does not count."""
    rows = sorted(repr((offer.key, offer.schedule)) for offer in offers if offer.source.book == book)
    return _sha("\n".join(rows).encode())


def digest(scenario: Scenario) -> str:
    """The digest of the inputs; what is only for the reader counts too."""
    return _sha(msgspec.json.encode(scenario, order="deterministic"))


def _costs(document: DecideDocument) -> dict[str, Decimal]:
    return {option.name: plain(round(option.usd_per_month.likely, _CENT)) for option in document.options}


def _sentence(frozen: Frozen, moved: tuple[Moved, ...], books: list[str], version: str, *, same: bool) -> str:
    if same:
        tail = f", though {', '.join(books)} moved elsewhere" if books else ""
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
