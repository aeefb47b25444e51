"""From measured loads to a capacity entry that every verb can use: a curve, its error, and the row of a file. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from baseload.capacity.curve import Curve, Point
from baseload.capacity.deployment import Saturated, separate
from baseload.capacity.drift import TRUSTED
from baseload.capacity.steptime import StepTime
from baseload.errors import BadInput, NotEnoughData
from baseload.measure.levels import Level, Percentiles

# How much longer the prompts are by which reading is told from writing.
LONGER = 4
# What two measurements of the same load differ by anyway: reading that costs less than this share cannot be told apart.
NOISE = 0.03
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The probe that the curve was not shown, and by what share it missed it."""

    in_flight: int
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second that a full deployment reads, or writes, were it doing only that. `bounded`: reading was too fast
    to be told from noise, and the rate is the least that it can be."""

    input_tokens_per_second: float
    output_tokens_per_second: float
    bounded: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """A curve through every load, the probe that was held out of a first one (None of fewer than three), and the two
    rates (None without long prompts)."""

    curve: Curve
    held_out: HeldOut | None
    rates: Rates | None

    @property
    def calibrated(self) -> bool:
        return self.held_out is not None and abs(self.held_out.error) <= TRUSTED


def fitted(levels: Sequence[Level], long: Level | None) -> Fitted:
    """Fit loads in rising order. Raises NotEnoughData with fewer than two."""
    if len(levels) < 2:
        raise NotEnoughData(
            f"a curve needs two loads, and {len(levels)} could be measured",
            remedy="Allow more requests in flight (--most-in-flight), seconds or tokens.",
        )
    points = [Point(each.in_flight, each.output_tokens_per_second) for each in levels]
    return Fitted(Curve.fitted(points), _held_out(points), _rates(levels, long))


def _held_out(points: Sequence[Point]) -> HeldOut | None:
    if len(points) < 3:
        return None
    middle = len(points) // 2
    seen = Curve.fitted([*points[:middle], *points[middle + 1 :]])
    held = points[middle]
    return HeldOut(held.in_flight, held.output_tokens_per_second, seen.tokens_per_second(held.in_flight))


def _rates(levels: Sequence[Level], long: Level | None) -> Rates | None:
    """What a token read costs from two lengths at one load; what one written costs from what is left at the peak."""
    if long is None:
        return None
    short = next((each for each in levels if each.in_flight == long.in_flight), None)
    if short is None or not long.mean_input_tokens > short.mean_input_tokens:
        return None
    peak = levels[-1]
    # Machine-seconds of one request at a load: what it takes of all that is done meanwhile.
    short_seconds, long_seconds = 1 / short.requests_per_second, 1 / long.requests_per_second
    written = short_seconds / short.mean_output_tokens
    extra = long_seconds - short_seconds - written * (long.mean_output_tokens - short.mean_output_tokens)
    least = NOISE * long_seconds
    per_input = max(extra, least) / (long.mean_input_tokens - short.mean_input_tokens)
    peak_seconds = 1 / peak.requests_per_second
    writing = peak_seconds - per_input * peak.mean_input_tokens
    if writing <= 0:  # at the peak reading overlaps writing: the peak itself says what both take together
        per_input, writing = 0.5 * peak_seconds / peak.mean_input_tokens, 0.5 * peak_seconds
    return Rates(1 / per_input, peak.mean_output_tokens / writing, extra < least)


@dataclass(frozen=True, slots=True)
class About:
    """What was measured, and where: the row's facts that no request tells."""

    name: str
    model: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    experts: bool
    url: str
    measured: date
    requests: int


def entry(about: About, levels: Sequence[Level], long: Level | None, found: Fitted) -> dict[str, object]:
    """The document of one deployment, as the catalog's own file is written."""
    peak = levels[-1]
    row: dict[str, object] = {
        **_described(about),
        "mix": {"input": round(peak.mean_input_tokens), "output": max(1, round(peak.mean_output_tokens))},
        "points": [
            {"in_flight": each.in_flight, "output_tokens_per_second": _figure(each.output_tokens_per_second)}
            for each in levels
        ],
        "max_in_flight": peak.in_flight,
        **_dated(about, None if found.held_out is None else found.held_out.error),
        "note": _note(found) + ("; this client may have been the limit" if any(x.client_bound for x in levels) else ""),
        "probes": [_probe(each) for each in (*levels, *([long] if long else []))],
    }
    if found.rates is not None:
        row["saturated"] = {
            "input_tokens_per_second": _figure(found.rates.input_tokens_per_second),
            "output_tokens_per_second": _figure(found.rates.output_tokens_per_second),
        }
    return _document(about, row, f"`baseload measure` of {about.url}, {about.requests} requests")


@dataclass(frozen=True, slots=True)
class Fit:
    """A step that was fitted, not a curve: what it serves at the loads of `points`, for `prompt` tokens in and `output`
    out, and with prompts `LONGER` times as long at the highest of them; the error of what it had not seen."""

    step: StepTime
    prompt: int
    output: int
    points: Sequence[Point]
    longer: float
    held_out: float | None


def fit_entry(about: About, fit: Fit, reference: str, note: str) -> dict[str, object]:
    """The document of a deployment whose step is known: its curve is what that step serves."""
    row: dict[str, object] = {
        **_described(about),
        "mix": {"input": fit.prompt, "output": fit.output},
        "points": [
            {"in_flight": each.in_flight, "output_tokens_per_second": _figure(each.output_tokens_per_second)}
            for each in fit.points
        ],
        "max_in_flight": fit.points[-1].in_flight,
        **_dated(about, fit.held_out),
        "note": note,
        "step": fit.step._asdict(),
    }
    if (rates := _told_apart(fit)) is not None:
        row["saturated"] = {
            "input_tokens_per_second": _figure(float(rates.input_tokens_per_second)),
            "output_tokens_per_second": _figure(float(rates.output_tokens_per_second)),
        }
    return _document(about, row, reference)


def _told_apart(fit: Fit) -> Saturated | None:
    """Reading and writing at the highest load; None where longer prompts cost nothing."""
    short, long = (Decimal(str(rate)) for rate in (fit.points[-1].output_tokens_per_second, fit.longer))
    try:
        return separate((fit.prompt, fit.output, short), (fit.prompt * LONGER, fit.output, long))
    except BadInput:
        return None


def _described(about: About) -> dict[str, object]:
    return {
        "name": about.name,
        "model": about.model,
        "machine": f"{about.gpu}-x{about.gpus}",
        "gpu": about.gpu,
        "gpus": about.gpus,
        "engine": about.engine,
        "quantization": about.quantization,
        "experts": about.experts,
    }


def _dated(about: About, held_out: float | None) -> dict[str, object]:
    """Day, source and the error that was held out, where there is one."""
    known = {} if held_out is None else {"held_out": round(held_out, 4)}
    return {"measured": about.measured, "source": "measured", **known}


def _document(about: About, row: dict[str, object], reference: str) -> dict[str, object]:
    origin = {"reference": reference, "as_of": about.measured, "licence": "yours", "precedence": "yours"}
    return {"sources": {"measured": origin}, "deployments": [row]}


def _note(found: Fitted) -> str:
    if found.held_out is None:
        return "not calibrated: too few loads to hold one out"
    held = found.held_out
    said = "calibrated" if found.calibrated else f"not calibrated (beyond {TRUSTED:.0%})"
    bounded = "; reading was too fast to tell: its rate is the least it can be" if _bounded(found) else ""
    return f"{said}: the load of {held.in_flight} that the curve had not seen is missed by {held.error:+.1%}{bounded}"


def _bounded(found: Fitted) -> bool:
    return found.rates is not None and found.rates.bounded


def _probe(level: Level) -> dict[str, object]:
    """One load as the file keeps it: what it was and how long things took."""
    probe: dict[str, object] = {
        "in_flight": level.in_flight,
        "input": round(level.mean_input_tokens, 1),
        "output": round(level.mean_output_tokens, 1),
        "requests": level.answered,
        "output_tokens_per_second": _figure(level.output_tokens_per_second),
    }
    for name, held in (("ttft", level.ttft), ("tpot", level.tpot), ("latency", level.latency)):
        if held is not None:
            probe[f"{name}_seconds"] = _places(held)
    return probe


def _places(held: Percentiles) -> dict[str, float]:
    return {
        "mean": round(held.mean, 6),
        "p50": round(held.p50, 6),
        "p90": round(held.p90, 6),
        "p99": round(held.p99, 6),
    }


def _figure(rate: float) -> str:
    """A rate with four digits or the whole number, as exact numbers are written."""
    return f"{rate:.0f}" if rate >= 1000 else f"{rate:.4g}" if "e" not in f"{rate:.4g}" else f"{rate:.8f}"


def named(asked: str | None, model: str, gpu: str, gpus: int, engine: str) -> str:
    """The entry's name: the one asked for, or one made of what was measured. Raises BadInput.

    >>> named(None, "Qwen/Qwen3-32B", "h100-80gb", 2, "vLLM 0.12.0")
    'qwen3-32b-2xh100-80gb-vllm0.12.0'
    """
    made = f"{model.rpartition('/')[2]}-{gpus}x{gpu}-{engine.replace(' ', '')}"
    return check_name(asked if asked is not None else re.sub(r"[^a-z0-9._-]+", "-", made.lower()).strip("-._")[:100])


def check_name(name: str) -> str:
    """The name of a deployment, which is also that of its file. Raises BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be the name of a deployment", remedy="Use small letters, digits, dots and dashes: --name."
        )
    return name
