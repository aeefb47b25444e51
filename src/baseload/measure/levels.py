"""What one load came to: throughput in the steady part, percentiles, errors by kind. Pure: samples in, figures out.

A token is counted at the moment it was written, evenly over the time of its request, and only inside the steady window:
from when every sender has had its first answer to when the last request was sent. What begins and what trails off is
left out, so a short measurement is not a low one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from baseload.measure.asking import Sample

# Two halves of a window whose throughput differs by less than this are the same load.
STEADY_WITHIN = 0.05
# A client that is this busy, or whose loop is this late, measures itself.
BUSY = 0.85
LATE_SECONDS = 0.02


class Percentiles(msgspec.Struct, frozen=True):
    """Seconds at four places of a distribution, its mean, and how many values it is of."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One measured load. `in_flight` requests were kept in flight, or `rate` a second were sent (the other is what it
    came to, `mean_in_flight` by the clock). Tokens are the endpoint's own count; times are what this client saw."""

    in_flight: int
    rate: float | None
    requests: int
    answered: int
    seconds: float
    window_seconds: float
    steady: bool
    mean_in_flight: float
    requests_per_second: float
    output_tokens_per_second: float
    input_tokens_per_second: float
    mean_input_tokens: float
    mean_output_tokens: float
    cached_share: float
    ttft: Percentiles | None
    tpot: Percentiles | None
    itl: Percentiles | None
    latency: Percentiles | None
    errors: dict[str, int]
    said: str
    client_busy: float
    client_late_seconds: float
    note: str = ""

    @property
    def client_bound(self) -> bool:
        """Whether this client, and not the endpoint, may have set the pace."""
        return self.client_busy > BUSY or self.client_late_seconds > LATE_SECONDS


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Places of a distribution, nearest rank; None of nothing.

    >>> percentiles([3.0, 1.0, 2.0]).p50
    2.0
    """
    if not values:
        return None
    ranked = sorted(values)
    count = len(ranked)

    def place(share: float) -> float:
        return ranked[min(count - 1, max(0, -(-int(share * count * 100) // 100) - 1))]

    return Percentiles(count, sum(ranked) / count, place(0.5), place(0.9), place(0.99))


def window(samples: Sequence[Sample], senders: int, closing: float) -> tuple[float, float]:
    """The steady part: from when `senders` requests have ended to `closing`. Empty when it has not begun.

    Senders that begin one after another have all had an answer when the latest of their first ones has come.
    """
    opening = sorted(samples, key=lambda sample: sample.started)[:senders]
    if len(opening) < senders:
        return closing, closing
    return min(closing, max(sample.ended for sample in opening)), closing


def inside(samples: Sequence[Sample], start: float, end: float) -> tuple[float, float, float, float]:
    """Requests, tokens in, tokens out and request-seconds within a window, each spread over its request's time."""
    requests = read = written = busy = 0.0
    for each in samples:
        lasted = each.ended - each.started
        overlap = min(each.ended, end) - max(each.started, start)
        if overlap <= 0 or lasted <= 0:
            continue
        busy += overlap
        if not each.error:
            share = overlap / lasted
            requests, read, written = (
                requests + share,
                read + share * each.input_tokens,
                written + share * each.output_tokens,
            )
    return requests, read, written, busy


def is_steady(samples: Sequence[Sample], start: float, end: float) -> bool:
    """Whether both halves of a window wrote equally fast."""
    middle = (start + end) / 2
    halves = [inside(samples, *half)[2] for half in ((start, middle), (middle, end))]
    return min(halves) > 0 and abs(halves[1] - halves[0]) <= STEADY_WITHIN * max(halves)


def tpot_seconds(sample: Sample) -> float | None:
    """Seconds a token after the first event; None of an answer that came in one piece.

    An engine that coalesces tokens wrote some of them before the first event: each event counts as equally many.
    """
    pieces = len(sample.events)
    if pieces < 2 or sample.output_tokens < 2:
        return None
    after_first = sample.output_tokens * (pieces - 1) / pieces
    return (sample.events[-1] - sample.events[0]) / after_first


def level(
    samples: Sequence[Sample],
    *,
    in_flight: int,
    closing: float,
    busy: float,
    late: float,
    rate: float | None = None,
    note: str = "",
) -> Level | None:
    """The figures of one load; None when nothing was answered whole."""
    good = [each for each in samples if not each.error]
    if not good:
        return None
    began, ended = min(each.started for each in samples), max(each.ended for each in samples)
    start, end = window(samples, in_flight, closing) if rate is None else (began, closing)
    steady = end > start and is_steady(samples, start, end)
    if not end > start:  # it ended before every sender had an answer: the whole is better than nothing, and is said
        start, end, note = began, ended, note or "too short for a steady part"
    requests, read, written, at_work = inside(samples, start, end)
    counted = [each for each in good if each.ended > start] or good
    tokens = sum(each.input_tokens for each in counted)
    gaps = [later - earlier for each in counted for earlier, later in zip(each.events, each.events[1:], strict=False)]
    complaints = [each.said for each in samples if each.said]
    seconds = end - start
    return Level(
        in_flight=in_flight,
        rate=rate,
        requests=len(samples),
        answered=len(good),
        seconds=ended - began,
        window_seconds=seconds,
        steady=steady,
        mean_in_flight=at_work / seconds,
        requests_per_second=requests / seconds,
        output_tokens_per_second=written / seconds,
        input_tokens_per_second=read / seconds,
        mean_input_tokens=tokens / len(counted),
        mean_output_tokens=sum(each.output_tokens for each in counted) / len(counted),
        cached_share=sum(each.cached_tokens for each in counted) / tokens if tokens else 0.0,
        ttft=percentiles([each.first - each.started for each in counted]),
        tpot=percentiles([found for each in counted if (found := tpot_seconds(each)) is not None]),
        itl=percentiles(gaps),
        latency=percentiles([each.ended - each.started for each in counted]),
        errors=dict(Counter(each.error for each in samples if each.error)),
        said=clean(complaints[0]) if complaints else "",
        client_busy=busy,
        client_late_seconds=late,
        note=note,
    )


def clean(text: str) -> str:
    """What an endpoint said, fit for a terminal: one line, no control characters, not too long."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200].strip()
