"""What was typed, or stands in a row of a table, as cases and measured points. Pure; it may be hostile."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from baseload.capacity.architecture import Architecture, architecture_named
from baseload.capacity.board import machine_of
from baseload.capacity.calibration import Point
from baseload.capacity.case import MOST_REQUESTS, Case, engine_named, precision_named
from baseload.catalog.entries import Machine
from baseload.errors import BadInput

NEEDED = ("model", "gpu", "count", "quant", "input_tokens", "output_tokens", "concurrency", "engine")
OPTIONAL = ("engine_version", "tp", "ep", "pp", "cached", "max_num_seqs", "kv_cache", "most_per_second")
# What tables of others call the same columns.
_ALSO = {
    "quant": ("precision", "quantization"),
    "input_tokens": ("isl",),
    "output_tokens": ("osl",),
    "concurrency": ("in_flight", "batch_size"),
    "engine": ("backend",),
    "engine_version": ("backend_version",),
    "model": ("model_path",),
    "gpu": ("system",),
    "count": ("gpus", "tp_size"),
    "ep": ("moe_ep_size",),
}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|)")
_FIGURES = ("concurrency", "input_tokens", "output_tokens", "output_tokens_per_s", "tpot_ms", "ttft_ms")


@dataclass(frozen=True, slots=True)
class Books:
    """What names are looked up in. What was found is kept: a table names the same again and again."""

    architectures: Mapping[str, Architecture]
    machines: Mapping[str, Machine]
    found: dict[tuple[str, str], object]

    def architecture(self, asked: str) -> Architecture:
        found = self._once(("model", asked), lambda: architecture_named(asked, self.architectures))
        assert isinstance(found, Architecture)  # noqa: S101  by its key
        return found

    def machine(self, gpu: str, count: int) -> Machine:
        found = self._once((gpu, str(count)), lambda: machine_of(gpu, count, self.machines))
        assert isinstance(found, Machine)  # noqa: S101  by its key
        return found

    def _once(self, key: tuple[str, str], look: Callable[[], object]) -> object:
        if key not in self.found:
            self.found[key] = look()
        return self.found[key]


def case_of(row: Mapping[str, str | None], books: Books, own: Architecture | None = None) -> Case:
    """The case of a row with the columns of `NEEDED` and some of `OPTIONAL`. `own` is the model where it was given."""
    text = {name: _cell(row, name) for name in (*NEEDED, *OPTIONAL)}
    missing = [name for name in NEEDED if not text[name] and not (name == "model" and own is not None)]
    if missing:
        raise BadInput(f"{', '.join(missing)} was not given", remedy=f"Every case needs {', '.join(NEEDED)}.")
    stages = max(_whole("pp", text["pp"] or "1"), 1)
    count, tensor = _whole("count", text["count"]), _whole("tp", text["tp"] or "0")
    expert = max(_whole("ep", text["ep"] or "1"), 1)
    if expert > 1 and tensor and count % (tensor * stages) == 0:
        tensor = 0  # attention as data parallel beside experts that are spread is answered as if it were cut
    return Case(
        own if own is not None else books.architecture(text["model"]),
        books.machine(text["gpu"], count),
        engine_named(text["engine"]),
        precision_named(text["quant"], text["kv_cache"]),
        _whole("input_tokens", text["input_tokens"]),
        _whole("output_tokens", text["output_tokens"]),
        _whole("concurrency", text["concurrency"]),
        tensor=tensor,
        expert=expert,
        pipeline=stages,
        cached=_share(text["cached"] or "0"),
        version=text["engine_version"],
        most_requests=_whole("max_num_seqs", text["max_num_seqs"] or str(MOST_REQUESTS)),
        most_per_second=_figure("most_per_second", text["most_per_second"]) if text["most_per_second"] else math.inf,
    )


def _cell(row: Mapping[str, str | None], name: str) -> str:
    return next((value.strip() for each in (name, *_ALSO.get(name, ())) if (value := row.get(each))), "")


def _whole(name: str, text: str) -> int:
    figure = _figure(name, text)
    if figure != int(figure):
        raise BadInput(f"{name} is {text!r}, which is no whole number", remedy=f"Give {name} as a count.")
    return int(figure)


def _share(text: str) -> float:
    percent = text.endswith("%")
    return _figure("cached", text.removesuffix("%")) / (100 if percent else 1)


def _figure(name: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        raise BadInput(f"{name} is {text[:40]!r}, which is no figure", remedy=f"Give {name} as a plain number.")
    return float(text)


def point_of(text: str, case: Case, when: date | None) -> Point:
    """`concurrency=64,output_tokens_per_s=1916` as a measured point; what is left out is as in the case."""
    given: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in _FIGURES:
            raise BadInput(f"{part.strip()[:40]!r} is no figure of a point", remedy=f"Use {', '.join(_FIGURES)}.")
        given[name] = _figure(name, value.strip())
    if any(not figure for figure in given.values()):
        raise BadInput(f"a figure of {text[:60]!r} is zero", remedy="Leave out what was not measured.")
    return measured_point(case, given, when)


def measured_point(case: Case, given: Mapping[str, float], when: date | None) -> Point:
    """A point on a case from its figures, by the names of the answer."""
    there = replace(
        case,
        in_flight=round(given.get("concurrency", case.in_flight)),
        input_tokens=round(given.get("input_tokens", case.input_tokens)),
        output_tokens=round(given.get("output_tokens", case.output_tokens)),
    )
    between, first = given.get("tpot_ms"), given.get("ttft_ms")
    return Point(
        there,
        given.get("output_tokens_per_s"),
        between / 1000 if between else None,
        first / 1000 if first else None,
        when,
    )


def objective(text: str) -> dict[str, float]:
    """`ttft=500ms,tpot=30ms` as milliseconds by name; a bare number is milliseconds. Raises BadInput."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().lower().partition("=")
        match = _TIME.fullmatch(value.strip())
        if not equals or name not in ("ttft", "tpot") or match is None:
            raise BadInput(
                f"{part.strip()[:40]!r} is no bound on a time",
                remedy="Write --slo ttft=500ms,tpot=30ms, or one of them.",
            )
        found[name] = float(match[1]) * (1000 if match[2] == "s" else 1)
    return found
