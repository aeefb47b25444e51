"""The catalog: every row of every book, looked up by name, with precedence explicit and conflicts shown. Pure.

Books disagree. No row is dropped: `named` returns all of them, `offer` says which one wins, `conflicts` says by how
much they differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from baseload.catalog.entries import Lease, Machine, Offer, Rates
from baseload.errors import UnknownModel

CLOSE_MATCHES = 5
_LEAVES = ("input", "output", "cache_read")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two rows of the same model that state different prices for one leaf, USD per million tokens.

    `lowest` and `highest` are the extreme rows; `ratio` is high over low, None when the low one is free.
    """

    leaf: str
    low: Decimal
    high: Decimal
    lowest: Offer
    highest: Offer

    @property
    def ratio(self) -> Decimal | None:
        return self.high / self.low if self.low else None


class Catalog:
    """Offers, machines and leases of all loaded books. Immutable after construction."""

    __slots__ = ("_by_key", "_by_model", "_by_name", "_leases", "_machines", "machines", "offers")

    def __init__(self, offers: Iterable[Offer], machines: Iterable[Machine] = (), leases: Iterable[Lease] = ()) -> None:
        self.offers = tuple(sorted(offers, key=_rank))
        self.machines = tuple(machines)
        self._machines = {machine.name: machine for machine in self.machines}
        self._leases = tuple(sorted(leases, key=lambda lease: (lease.source.precedence, lease.source.book)))
        self._by_key: dict[str, list[Offer]] = {}
        self._by_model: dict[str, list[Offer]] = {}
        self._by_name: dict[str, list[Offer]] = {}
        for offer in self.offers:
            self._by_key.setdefault(offer.key.lower(), []).append(offer)
            self._by_model.setdefault(offer.model.lower(), []).append(offer)
            self._by_name.setdefault(bare_name(offer.model), []).append(offer)

    def named(self, name: str) -> tuple[Offer, ...]:
        """Every book's row for a `provider/model` key, a model id, or a bare model name; best precedence first.

        `deepseek/deepseek-v4-flash` finds what the books say of that one offer; `DeepSeek V4 Flash` finds every
        provider that sells the model. Empty when no book knows the name.
        """
        text = name.strip().lower()
        found = self._by_key.get(text) or (self._by_model if "/" in text else self._by_name).get(_plain(text), [])
        return tuple(found)

    def offer(self, key: str) -> Offer:
        """The row that wins for a `provider/model` key. Raises UnknownModel with close matches."""
        rows = self._by_key.get(key.strip().lower())
        if rows is None:
            raise self.unknown(key)
        return rows[0]

    def unknown(self, name: str) -> UnknownModel:
        """The error for a name that no book knows; its remedy names what comes close."""
        close = self.close(name)
        remedy = (
            f"Did you mean {', '.join(close)}?" if close else "Add its price to `prices` in your own configuration."
        )
        return UnknownModel(f"no book has a price for {name!r}", remedy=remedy)

    def close(self, name: str) -> tuple[str, ...]:
        """Up to five names that resemble `name`: keys that contain it first, then by spelling."""
        text = bare_name(name)
        holding = sorted(
            (key for key in self._by_key if len(text) > 1 and text in key), key=lambda key: (len(key), key)
        )
        alike = difflib.get_close_matches(text, self._by_name, n=CLOSE_MATCHES, cutoff=0.6)
        keys = [self._by_name[each][0].key for each in alike]
        return tuple(dict.fromkeys([*(self._by_key[key][0].key for key in holding), *keys]))[:CLOSE_MATCHES]

    def conflicts(self, name: str, when: datetime) -> tuple[Conflict, ...]:
        """Where the rows in force at `when` (aware UTC) disagree, leaf by leaf. Empty when they agree."""
        rows = [(offer, row.rates) for offer in self.named(name) if (row := offer.row(when)) is not None]
        found = (_conflict(leaf, rows) for leaf in _LEAVES)
        return tuple(conflict for conflict in found if conflict is not None)

    def machine(self, name: str) -> Machine:
        """A GPU shape such as `h100-80gb-x8`. Raises UnknownModel."""
        machine = self._machines.get(name)
        if machine is None:
            close = difflib.get_close_matches(name, self._machines, n=CLOSE_MATCHES, cutoff=0.3)
            raise UnknownModel(
                f"no machine is called {name!r}", remedy=f"Use one of {', '.join(close or self._machines)}."
            )
        return machine

    def leases(self, gpu: str) -> tuple[Lease, ...]:
        """Every price of one kind of GPU, best precedence first; empty when none is known."""
        return tuple(lease for lease in self._leases if lease.gpu == gpu)


def bare_name(model: str) -> str:
    """A model's name without its maker's path, in one spelling.

    >>> bare_name("deepseek-ai/DeepSeek-V4-Flash"), bare_name("DeepSeek V4 Flash")
    ('deepseek-v4-flash', 'deepseek-v4-flash')
    """
    return _plain(model.rsplit("/", 1)[-1])


def _plain(name: str) -> str:
    return "-".join(name.strip().lower().replace("_", "-").split())


def _rank(offer: Offer) -> tuple[int, int, str, str]:
    """Precedence, then the newer source, then the name."""
    return (offer.source.precedence, -offer.source.as_of.toordinal(), offer.key, offer.source.book)


def _conflict(leaf: str, rows: list[tuple[Offer, Rates]]) -> Conflict | None:
    stated: list[tuple[Decimal, Offer]] = [
        (rate, offer) for offer, rates in rows if (rate := _rate(rates, leaf)) is not None
    ]
    if not stated:
        return None
    low = min(stated, key=lambda pair: pair[0])
    high = max(stated, key=lambda pair: pair[0])
    return Conflict(leaf, low[0], high[0], low[1], high[1]) if low[0] != high[0] else None


def _rate(rates: Rates, leaf: str) -> Decimal | None:
    return {"input": rates.input, "output": rates.output, "cache_read": rates.cache_read}[leaf]
