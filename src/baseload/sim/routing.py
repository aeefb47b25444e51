"""Requests to the replicas of one pool as they come. Pure, and plain enough for a compiler, as `engine.py` is."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import NamedTuple

from baseload.capacity.steptime import StepTime
from baseload.sim.engine import (
    ASSIGNED,
    FINISHED,
    HEAD,
    NONE,
    NOW,
    READING,
    RUNNING,
    SHIFT,
    Columns,
    Fractions,
    Wholes,
    advance,
    enqueue,
)
from baseload.sim.engine import DONE as STEPS_DONE

ROUND_ROBIN, LEAST_LOADED, PREFIX = range(3)


class Rows(NamedTuple):
    """The replicas of a pool, a row each; `serving` is 1 where new requests may go, `cursor` the last one taken."""

    decode: Fractions
    whole: MutableSequence[Wholes]
    fraction: MutableSequence[Fractions]
    heap: MutableSequence[Wholes]
    serving: Wholes
    cursor: Wholes


class Prefixes(NamedTuple):
    """The group of prompts that begin alike of each request, NONE without; and the replica that saw a group last."""

    group: Wholes
    home: Wholes


class Wanted(NamedTuple):
    """Which requests may go to a pool: those without a supply whose kind it `admits` (1) and whose prompt is no longer
    than `limit` (NONE for any). `supply` says where each request went."""

    kind: Wholes
    admits: Wholes
    supply: Wholes
    limit: int


def feed(
    step: StepTime,
    rows: Rows,
    columns: Columns,
    prefixes: Prefixes,
    wanted: Wanted,
    pool: int,
    routing: int,
    slots: int,
    start: int,
    end: int,
) -> None:
    """Give the requests from `start` to before `end` that may go to this pool to its replicas, as long as there is
    room. `slots` requests may be in flight, as many as come when that is NONE."""
    for place in range(start, end):
        if wanted.supply[place] != NONE or wanted.admits[wanted.kind[place]] == 0:
            continue
        prompt = columns.prompt[place]
        if prompt + columns.output[place] > step.kv_tokens or (wanted.limit != NONE and prompt > wanted.limit):
            continue
        if slots != NONE or routing == LEAST_LOADED:
            flying = catch_up(step, rows, columns, columns.arrival[place])
            if slots != NONE and flying >= slots:
                continue
        chosen = choose(rows, prefixes, routing, place)
        if chosen == NONE:
            continue
        group = prefixes.group[place]
        if group != NONE:
            if prefixes.home[group] != chosen:
                columns.cached[place] = 0
            prefixes.home[group] = chosen
        enqueue(rows.whole[chosen], columns.after, place)
        wanted.supply[place] = pool


def catch_up(step: StepTime, rows: Rows, columns: Columns, now: float) -> int:
    """Every replica runs up to now where something may have finished; how many requests are in flight."""
    flying = 0
    for each in range(len(rows.serving)):
        whole = rows.whole[each]
        if whole[ASSIGNED] == whole[FINISHED]:
            continue
        if soonest(step, rows.decode, whole, rows.fraction[each], rows.heap[each]) <= now:
            advance(step, rows.decode, whole, rows.fraction[each], rows.heap[each], columns, now)
        flying += whole[ASSIGNED] - whole[FINISHED]
    return flying


def soonest(step: StepTime, decode: Fractions, whole: Wholes, fraction: Fractions, heap: Wholes) -> float:
    """A time before which no request of a replica is finished: what comes beside it only makes its steps longer."""
    if whole[READING] != NONE or whole[HEAD] != NONE or whole[RUNNING] == 0:
        return fraction[NOW]
    base = decode[whole[RUNNING]] + step.context * (whole[RUNNING] + 0.0)
    return fraction[NOW] + (heap[0] // SHIFT - whole[STEPS_DONE]) * base


def choose(rows: Rows, prefixes: Prefixes, routing: int, place: int) -> int:
    """The replica that a request goes to; NONE when none serves."""
    count = len(rows.serving)
    if routing == PREFIX and prefixes.group[place] != NONE:
        turn = prefixes.group[place] % count
    elif routing == LEAST_LOADED:
        return least_loaded(rows)
    else:
        turn = rows.cursor[0] + 1
    for ahead in range(count):
        chosen = (turn + ahead) % count
        if rows.serving[chosen] == 1:
            if routing != PREFIX or prefixes.group[place] == NONE:
                rows.cursor[0] = chosen
            return chosen
    return NONE


def least_loaded(rows: Rows) -> int:
    """The serving replica with the fewest requests in flight, the first of equals."""
    chosen, fewest = NONE, 0
    for each in range(len(rows.serving)):
        flying = rows.whole[each][ASSIGNED] - rows.whole[each][FINISHED]
        if rows.serving[each] == 1 and (chosen == NONE or flying < fewest):
            chosen, fewest = each, flying
    return chosen
