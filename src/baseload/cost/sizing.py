"""How many machines, how busy, and what is bought beside them: every way as its entries. Pure; see `model.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from baseload.cost.by_token import api
from baseload.cost.model import Entry, Figures, Number, common, happens, least, most, total
from baseload.cost.on_machines import machines
from baseload.cost.schedule import HOURS_PER_WEEK
from baseload.cost.ways import Load, Way
from baseload.errors import BadInput

# More are a cluster, to be weighed in larger units.
MOST_REPLICAS = 2_000
# Floating point may put an exact whole number a hair above itself; that is no reason to pay another machine.
_HAIR = 1e-12
# Of an API beside machines, what does not grow with its tokens.
_ONCE_AT_AN_API = frozenset({"commitment", "standby", "monitoring"})


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
        if not happens(pays):
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
