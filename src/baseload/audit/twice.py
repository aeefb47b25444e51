"""Whether one provider's cost is stated twice: by two exports, by two lengths of buckets, in all and in parts. Pure.

Each report is right by itself, and a sum over both is twice the bill. Reports that are grouped in different ways are
known by their sums: they are the same to the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import combinations, pairwise

from baseload.clock import from_ns
from baseload.load.statements import Statement
from baseload.units import exact_sum

Span = tuple[int, int]
_Group = tuple[bool, ...]
_Sums = dict[_Group, dict[Span, list[Decimal]]]
_MIXED = "focus"
"""A format whose rows have periods of their own: an hour of tokens stands beside a month's fee."""


def twice(costs: Iterable[Statement]) -> str:
    """What is stated twice, in words; nothing when every dollar is stated once."""
    spans: dict[str, set[Span]] = defaultdict(set)
    sums: dict[str, _Sums] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for each in costs:
        if each.usd is not None:
            span = each.start_ns, each.end_ns
            spans[each.source].add(span)
            sums[each.source][_group(each)][span].append(each.usd)
    for one, other in combinations(sorted(spans), 2):
        if shared := _both(spans[one], spans[other]):
            return f"{one} and {other} both state {_day(shared)}"
    for source in sorted(spans.keys() - {_MIXED}):
        if shared := _overlap(sorted(spans[source])):
            return f"{source} states {_day(shared)} in buckets that overlap"
    for source in sorted(sums):
        for first, second in combinations(sorted(sums[source]), 2):
            if shared := _same(sums[source][first], sums[source][second], _likely(first, second)):
                return f"{source} states {_day(shared)} in two groupings with the same sum"
    return ""


def _group(each: Statement) -> _Group:
    """By what the report of a line was grouped."""
    return bool(each.model or each.item), bool(each.project), bool(each.key), bool(each.user), bool(each.processing)


def _overlap(spans: list[Span]) -> Span | None:
    """Of spans in order the first that begins before an earlier one ends."""
    for earlier, span in pairwise(spans):
        if span[0] < earlier[1]:
            return span
    return None


def _both(one: Iterable[Span], other: Iterable[Span]) -> Span | None:
    """The first span of one set that touches the time of another."""
    ends = {True: 0, False: 0}
    for start, end, side in sorted((*((*span, True) for span in one), *((*span, False) for span in other))):
        if start < ends[not side]:
            return start, end
        ends[side] = max(ends[side], end)
    return None


def _likely(first: _Group, second: _Group) -> int:
    """In how many spans two groupings have to agree: in one report some lines have a project and others have none, but
    none has nothing at all, and none has a project alone beside items alone."""
    both = {one <= other for one, other in zip(first, second, strict=True)}
    back = {other <= one for one, other in zip(first, second, strict=True)}
    nested = both == {True} or back == {True}
    return 2 if nested and any(first) and any(second) else 1


def _same(first: Mapping[Span, list[Decimal]], second: Mapping[Span, list[Decimal]], least: int) -> Span | None:
    """The first span of which two groupings say the same sum, where they do so in most that both state."""
    shared = sorted(first.keys() & second.keys())
    equal = [span for span in shared if (whole := exact_sum(first[span])) and whole == exact_sum(second[span])]
    return equal[0] if len(equal) >= least and len(equal) * 2 > len(shared) else None


def _day(span: Span) -> str:
    return f"{from_ns(span[0]):%Y-%m-%d %H:%M} to {from_ns(span[1]):%Y-%m-%d %H:%M} UTC"
