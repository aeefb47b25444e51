"""The load of `baseload simulate`: a trace, a ledger, or one that is drawn. Acts (reads files)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseload.errors import BadInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.load.calls import Call
    from baseload.load.facts import Facts
    from baseload.load.lengths import Lengths
    from baseload.policy.policy import Policy
    from baseload.sim.fleet import Load

# A load that is drawn begins on a Monday; the day says at which dated prices it is bought.
START = datetime(2026, 11, 16, tzinfo=UTC)
WAVE = 1.6


class LengthsRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quantiles of prompts and answers, and how uneven the gaps between requests were."""

    source: str
    as_of: date
    cv: float
    input: tuple[int, ...]
    output: tuple[int, ...]


class HoursRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The load by hour over its mean."""

    source: str
    as_of: date
    relative: tuple[float, ...]


class Profiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ships of public traces: see load/data/SOURCE.md."""

    probabilities: tuple[float, ...]
    lengths: dict[str, LengthsRow]
    weeks: dict[str, HoursRow]
    days: dict[str, HoursRow]


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed of a load."""

    trace: Path | None
    ledger: str | None
    run: str | None
    profile: str
    per_second: float
    hours: float
    shape: str
    gaps: str
    cv: float | None
    growth: float
    tokens: tuple[int | None, int | None]
    start: str | None
    cached: float
    seed: int
    clients: int | None = None
    think: float = 0.0
    requests: int | None = None

    @property
    def asked(self) -> int:
        """Requests of a closed loop."""
        return self.requests if self.requests is not None else max(1000, 20 * (self.clients or 0))


@cache
def profiles() -> Profiles:
    """Lengths and hours of public traces."""
    from importlib.resources import files

    return msgspec.json.decode(files("baseload.load").joinpath("data/profiles.json").read_bytes(), type=Profiles)


def read_load(typed: Typed, policy: Policy) -> tuple[Load, str]:
    """The load, and what it is in words. Raises BadInput and NotEnoughData."""
    if typed.trace is not None and typed.ledger is not None:
        raise BadInput("--trace and --ledger name two loads", remedy="Leave one of them out.")
    if typed.clients is None and (typed.think or typed.requests is not None):
        raise BadInput("--think and --requests are of a closed loop", remedy="Add --concurrency N, or leave them out.")
    if typed.clients is not None:
        return _looped(typed, policy)
    if typed.trace is not None:
        return _traced(typed, typed.trace, policy)
    if typed.ledger is not None:
        return _metered(typed, typed.ledger)
    return _drawn(typed, policy)


def facts_of(policy: Policy) -> Facts:
    """What a request asks for of which nothing is known but its lengths."""
    from baseload.load.facts import Facts

    bucket = policy.default_bucket
    aliases = [name for name, each in policy.aliases.items() if each is bucket]
    model = aliases[0] if aliases else policy.routes[0].model if policy.routes else ""
    return Facts(at_ns=0, model=model, bucket=bucket, input_tokens=0)


def _traced(typed: Typed, path: Path, policy: Policy) -> tuple[Load, str]:
    import numpy as np

    from baseload.clock import to_ns
    from baseload.load.trace import parse_trace
    from baseload.sim.fleet import Load
    from baseload.sim.replica import Requests
    from baseload.units import NANOSECONDS_PER_SECOND

    try:
        with path.open(encoding="utf-8-sig") as file:
            trace = parse_trace(file, origin=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", remedy="Give a CSV trace in UTF-8.") from error
    rows = np.array([(each.after_ns, each.input_tokens, each.output_tokens) for each in trace.arrivals], np.int64)
    prompts = np.maximum(rows[:, 1], 1)
    requests = Requests.of(rows[:, 0] / NANOSECONDS_PER_SECOND, prompts, rows[:, 2], cached_share=typed.cached)
    started = to_ns(trace.started if typed.start is None else _moment(typed.start))
    return Load.plain(started, requests, facts_of(policy)), f"trace {path.name}"


def _metered(typed: Typed, ledger: str) -> tuple[Load, str]:
    from baseload.cli.place import place_of
    from baseload.ledger.hot import open_store
    from baseload.ledger.query import Filter

    place = place_of(ledger, None)
    store = open_store(*place, read_only=True)
    try:
        found = list(store.calls(Filter(tags={} if typed.run is None else {"run": typed.run})))
    finally:
        store.close()
    answered = [call for call in found if call.served is not None and call.usage.completion_tokens > 0]
    if not answered:
        raise NotEnoughData(
            f"the ledger in {place} holds no answered call" + (f" of run {typed.run}" if typed.run else ""),
            remedy="Meter some calls first: baseload demo.",
        )
    words = f"ledger {place}" + (f", run {typed.run}" if typed.run else "")
    return _load_of(sorted(answered, key=lambda call: (call.facts.at_ns, call.id)), typed.cached), words


def _load_of(calls: Sequence[Call], cached: float) -> Load:
    """Metered calls as a load: each keeps its bucket, its needs, and what it consumed when it was answered."""
    import numpy as np

    from baseload.sim.engine import NONE
    from baseload.sim.fleet import Load
    from baseload.sim.replica import Requests
    from baseload.units import NANOSECONDS_PER_SECOND

    places: dict[bytes, int] = {}
    kinds: list[Facts] = []
    kind = []
    for call in calls:
        facts = msgspec.structs.replace(call.facts, at_ns=0, input_tokens=0, output_cap=None, tags={}, stream=False)
        key = msgspec.json.encode(facts, order="deterministic")
        if key not in places:
            places[key] = len(kinds)
            kinds.append(facts)
        kind.append(places[key])
    start_ns = calls[0].facts.at_ns
    usages = [call.served.usage for call in calls if call.served is not None]
    requests = Requests.of(
        np.array([(call.facts.at_ns - start_ns) / NANOSECONDS_PER_SECOND for call in calls]),
        np.array([max(usage.prompt_tokens, 1) for usage in usages]),
        np.array([max(usage.completion_tokens, 1) for usage in usages]),
        cached_share=cached,
    )
    group = np.full(len(calls), NONE, np.int32)
    return Load(start_ns, requests, tuple(kinds), np.array(kind, np.int32), group)


def _drawn(typed: Typed, policy: Policy) -> tuple[Load, str]:
    from baseload.clock import to_ns
    from baseload.load.synthetic import Gaps, arrivals
    from baseload.sim.fleet import Load
    from baseload.sim.replica import Requests
    from baseload.units import SECONDS_PER_HOUR

    row = _row(typed)
    if typed.gaps not in list(Gaps):
        raise BadInput(f"no gaps are called {typed.gaps!r}", remedy=f"Use one of {', '.join(Gaps)}.")
    start = START if typed.start is None else _moment(typed.start)
    cv = typed.cv if typed.cv is not None else 1.0 if typed.gaps == Gaps.POISSON else row.cv
    empty = Load.plain(to_ns(start), Requests.of(*_nothing()), facts_of(policy))
    times = arrivals(
        typed.seed,
        seconds=typed.hours * SECONDS_PER_HOUR,
        per_second=typed.per_second,
        gaps=Gaps(typed.gaps),
        cv=cv,
        week=_week(typed.shape),
        start_hour=empty.start_hour,
        growth_per_week=typed.growth,
    )
    prompt, output = _lengths(typed, row).draw(typed.seed, len(times))
    requests = Requests.of(times, prompt, output, cached_share=typed.cached)
    words = f"{typed.per_second:g} requests a second for {typed.hours:g} h, {typed.shape}, {typed.gaps}"
    return Load.plain(to_ns(start), requests, facts_of(policy)), f"{words}, {_known_lengths(typed)}"


def _looped(typed: Typed, policy: Policy) -> tuple[Load, str]:
    """The requests of a closed loop: their lengths, in order; they come when somebody asks."""
    import numpy as np

    from baseload.clock import to_ns
    from baseload.sim.fleet import Load
    from baseload.sim.replica import Requests

    if typed.ledger is not None:
        load, words = _metered(typed, typed.ledger)
    elif typed.trace is not None:
        load, words = _traced(typed, typed.trace, policy)
    else:
        prompt, output = _lengths(typed, _row(typed)).draw(typed.seed, typed.asked)
        requests = Requests.of(np.zeros(typed.asked), prompt, output, cached_share=typed.cached)
        start = START if typed.start is None else _moment(typed.start)
        load, words = Load.plain(to_ns(start), requests, facts_of(policy)), _known_lengths(typed)
    clients = f"{typed.clients} clients" if typed.clients != 1 else "1 client"
    thinks = f" who think {typed.think:g} s" if typed.think else ""
    return load, f"a closed loop of {clients}{thinks}, {words}"


def _row(typed: Typed) -> LengthsRow:
    shipped = profiles()
    if typed.profile not in shipped.lengths:
        raise BadInput(f"no profile is called {typed.profile!r}", remedy=f"Use one of {', '.join(shipped.lengths)}.")
    return shipped.lengths[typed.profile]


def _known_lengths(typed: Typed) -> str:
    return "fixed lengths" if None not in typed.tokens else f"lengths of {typed.profile}"


def _nothing() -> tuple[Any, Any, Any]:
    import numpy as np

    return np.empty(0), np.empty(0), np.empty(0)


def _lengths(typed: Typed, row: LengthsRow) -> Lengths:
    """Quantiles of the profile, and one figure where one was typed."""
    from baseload.load.lengths import Lengths

    probabilities = profiles().probabilities
    prompt, output = typed.tokens
    count = len(probabilities)
    return Lengths(
        probabilities,
        row.input if prompt is None else (prompt,) * count,
        row.output if output is None else (output,) * count,
    )


def _week(shape: str) -> Sequence[float]:
    """168 loads: a shape by name, or of a file."""
    from baseload.cost.shapes import NAMED, named_shape, read_shape
    from baseload.load.synthetic import diurnal
    from baseload.units import HOURS_PER_DAY

    shipped = profiles()
    named = named_shape(shape)
    if named is not None:
        return [float(each) for each in named]
    if shape == "diurnal":
        return diurnal(WAVE)
    if shape in shipped.weeks:
        return shipped.weeks[shape].relative
    if shape in shipped.days:
        return shipped.days[shape].relative * (168 // HOURS_PER_DAY)
    path = Path(shape)
    if not path.is_file():
        names = ", ".join((*NAMED, "diurnal", *shipped.weeks, *shipped.days))
        raise BadInput(f"no shape or file is called {shape!r}", remedy=f"Use one of {names}, or a file of 168 loads.")
    try:
        return [float(each) for each in read_shape(path.read_text(encoding="utf-8"), str(path))]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", remedy="Give a text of 168 loads.") from error


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no moment", remedy="Write it as 2026-11-16T08:00.") from error
    if not 1970 <= found.year <= 2200:
        raise BadInput(f"{text!r} is not between the years 1970 and 2200", remedy="Check its year.")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
