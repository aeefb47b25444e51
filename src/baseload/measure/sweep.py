"""The probes of a benchmark in turn: alone, ever more in flight until it gains nothing, long prompts. Acts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from baseload.errors import BadInput, UpstreamUnreachable
from baseload.load.lengths import Lengths
from baseload.measure.asking import Asker, Dialect, Sample
from baseload.measure.levels import Level, clean
from baseload.measure.running import Bounds, Run

# Twice as many in flight that gain less than this are past the peak.
LEAST_GAIN = 0.05
# Fewer loads than these make no curve with one held out: so many are measured even where nothing is gained.
LEAST_LOADS = 4
LONG_FACTOR = 4
# From two prompts of these many words the tokens of a word are learnt.
FEW_WORDS, MANY_WORDS, WARM_TOKENS = 16, 256, 8
# A level whose requests failed more often than this is no point of a curve.
FAILED_SHARE = 0.02

OnLevel = Callable[[Level, str], None]


@dataclass(frozen=True, slots=True)
class Probes:
    """What is to be measured: lengths, how far, how long each load may take, and whether every load of the curve."""

    lengths: Lengths
    most_in_flight: int
    level_seconds: float
    full: bool = False
    long_prompt: bool = True
    seed: int = 1


@dataclass(slots=True)
class Found:
    """What was measured: the loads in rising order, the long prompts, an open loop with each of its `samples`, and why
    it ended before its end."""

    levels: list[Level] = field(default_factory=list)
    long: Level | None = None
    opened: Level | None = None
    samples: list[Sample] = field(default_factory=list)
    stopped: str = ""

    @property
    def points(self) -> list[Level]:
        """The loads up to the one with the highest throughput, those that failed left out. Where that comes so early
        that too few are left, the next ones are of the curve too: it is flat, or falls."""
        good = [each for each in self.levels if each.requests - each.answered <= FAILED_SHARE * each.requests]
        if not good:
            return []
        peak = max(good, key=lambda each: each.output_tokens_per_second)
        rising = [each for each in good if each.in_flight <= peak.in_flight]
        return good[: max(len(rising), LEAST_LOADS)]


async def warm_up(asker: Asker, bounds: Bounds) -> Sample:
    """Ask until the endpoint answers as it will, and learn how many tokens a word makes there. The last answer.

    Raises UpstreamUnreachable or BadInput with the endpoint's own word where it does not answer.
    """
    asker.dialect = replace(asker.dialect, tokens_per_word=1.0, tokens_beside=0.0)
    few = await _warm(asker, FEW_WORDS, bounds)
    for change in (_newer_cap, _plain):
        if few.error.startswith("4"):
            asker.dialect = change(asker.dialect)
            few = await _warm(asker, FEW_WORDS, bounds)
    if few.error:
        raise _unusable(asker, few)
    many = await _warm(asker, MANY_WORDS, bounds)
    if many.error:
        raise _unusable(asker, many)
    slope = (many.input_tokens - few.input_tokens) / (MANY_WORDS - FEW_WORDS)
    if not slope > 0:
        raise BadInput(
            f"{asker.endpoint.url} counts {many.input_tokens} tokens in a prompt of {MANY_WORDS} words and "
            f"{few.input_tokens} in one of {FEW_WORDS}",
            remedy="Its usage cannot be right: ask the engine's own count, or measure another endpoint.",
        )
    beside = max(0.0, few.input_tokens - slope * FEW_WORDS)
    asker.dialect = replace(asker.dialect, tokens_per_word=slope, tokens_beside=beside)
    return many


async def _warm(asker: Asker, words: int, bounds: Bounds) -> Sample:
    if not bounds.take(words, WARM_TOKENS):
        raise BadInput(f"the bound is too small to begin: {bounds.stopped}", remedy="Allow more.")
    sample = await asker.ask(words, WARM_TOKENS)
    bounds.settle(words, WARM_TOKENS, sample)
    return sample


def _newer_cap(dialect: Dialect) -> Dialect:
    """OpenAI's newer models refuse `max_tokens`."""
    return replace(dialect, cap="max_completion_tokens", extra={}, minimum=False)


def _plain(dialect: Dialect) -> Dialect:
    """Only the fields that everybody knows."""
    return replace(dialect, cap="max_tokens", extra={}, minimum=False)


def _unusable(asker: Asker, sample: Sample) -> BadInput | UpstreamUnreachable:
    said = f": {clean(sample.said)}" if sample.said else ""
    message = f"{asker.endpoint.url} did not answer ({sample.error}){said}"
    if sample.error in {"401", "403"}:
        return BadInput(message, remedy="Name the variable that holds its key: --key-env NAME.")
    if sample.error.startswith("4"):
        return BadInput(message, remedy="Check the address and --model.")
    if sample.error == "no usage":
        return BadInput(message, remedy="Tokens are counted by the endpoint's own usage: enable it in streams.")
    return UpstreamUnreachable(message, remedy="Start the engine, or raise --timeout.")


async def closed(asker: Asker, probes: Probes, bounds: Bounds, stop: asyncio.Event, on_level: OnLevel) -> Found:
    """Keep 1, 2, 4 ... requests in flight until twice as many gain less than a twentieth, then ask long prompts."""
    found, expected = Found(), 0.0
    for senders in loads(probes.most_in_flight, full=probes.full):
        run = Run(asker, probes.lengths.endless(probes.seed + senders), bounds, stop)
        level = await run.closed(senders, seconds=probes.level_seconds, expected=expected)
        if level is None:
            found.stopped = _why(bounds, stop) or _failed(run, senders)
            break
        before = found.levels[-1].output_tokens_per_second if found.levels else 0.0
        found.levels.append(level)
        on_level(level, "")
        expected = level.latency.p50 if level.latency else 0.0
        if run.refused or level.requests - level.answered > FAILED_SHARE * level.requests:
            found.stopped = _failed(run, senders)
            break
        if why := _why(bounds, stop):
            found.stopped = why
            break
        gained = level.output_tokens_per_second >= before * (1 + LEAST_GAIN)
        if not (probes.full or gained) and len(found.levels) >= LEAST_LOADS:
            break
    if probes.long_prompt and not found.stopped and found.points:
        await _long(asker, probes, bounds, stop, found, on_level)
    return found


async def _long(
    asker: Asker, probes: Probes, bounds: Bounds, stop: asyncio.Event, found: Found, on_level: OnLevel
) -> None:
    """Prompts several times as long, at a load in the middle."""
    points = found.points
    middle = points[len(points) // 2]
    read, written = round(middle.mean_input_tokens), max(1, round(middle.mean_output_tokens))
    most = probes.lengths.most
    longer = min(read * LONG_FACTOR, (most - written) * 4 // 5 if most is not None else read * LONG_FACTOR)
    if longer < 2 * read:
        return
    lengths = Lengths.spread(longer, written).within(most)
    run = Run(asker, lengths.endless(probes.seed), bounds, stop)
    expected = middle.latency.p50 if middle.latency else 0.0
    found.long = await run.closed(middle.in_flight, seconds=probes.level_seconds, expected=expected)
    if found.long is not None:
        on_level(found.long, "long prompts")
    found.stopped = found.stopped or _why(bounds, stop)


async def opened(
    asker: Asker,
    lengths: Lengths,
    times: Sequence[float],
    bounds: Bounds,
    stop: asyncio.Event,
    *,
    rate: float,
    seconds: float,
    most: int,
    seed: int,
) -> Found:
    """Send at these times, `rate` a second on average, whatever was answered."""
    run = Run(asker, lengths.endless(seed), bounds, stop)
    level = await run.opened(iter(times), rate=rate, seconds=seconds, most=most)
    return Found(opened=level, samples=run.samples, stopped=_why(bounds, stop) or ("" if level else _failed(run, 0)))


def loads(most: int, *, full: bool) -> Iterator[int]:
    """1, 2, 4, 8 ... and for the full curve the loads between them; the last is `most`.

    >>> list(loads(10, full=False)), list(loads(8, full=True))
    ([1, 2, 4, 8, 10], [1, 2, 3, 4, 6, 8])
    """
    loads = {2**power for power in range(most.bit_length())}
    if full:
        loads |= {3 * 2**power for power in range(most.bit_length())}
    yield from sorted({each for each in loads if each < most} | {most})


def _why(bounds: Bounds, stop: asyncio.Event) -> str:
    if stop.is_set():
        return "interrupted"
    if bounds.late and not bounds.stopped:
        return f"{bounds.seconds:g} seconds, as bounded"
    return bounds.stopped


def _failed(run: Run, senders: int) -> str:
    wrong = [each for each in run.samples if each.error]
    if not wrong:
        return f"nothing was answered with {senders} in flight"
    said = f": {clean(wrong[0].said)}" if wrong[0].said else ""
    return f"with {senders} in flight {len(wrong)} of {len(run.samples)} requests failed ({wrong[0].error}){said}"
