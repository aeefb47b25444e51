"""Published serving measurements as cases with what was measured. Pure; the rows may be hostile.

`silicon` is the table that AIConfigurator checks itself against (InferenceMAX, InferenceX and NVIDIA runs). Its rules:
attention spread as data parallel, prefill apart from decode, and rows without concurrency are left out; rows of two of
its dumps that spread experts carry tensor x expert as `tp_size` (16 is 4 x 4), their cards are `moe_ep_size`; more than
eight cards without experts spread are left out. Of one configuration the latest measurement stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from baseload.capacity.architecture import Architecture, architecture_named
from baseload.capacity.case import Case, engine_named, precision_named
from baseload.catalog.entries import Machine
from baseload.catalog.gpus import gpu_named
from baseload.errors import BadInput

_DOUBLED = ("2026-04-06", "db-dump")
_ONE_NODE = 8
_CONCURRENCY = re.compile(r"concurrency=(\d{1,7})")
_MEASURED = re.compile(r"measured=(\d{4}-\d\d-\d\d)")
# What boards and people call a card where a price list has several of that name.
CARDS = {
    "a100": "a100-80gb", "a100-sxm": "a100-80gb", "h200-sxm": "h200-141gb", "b200-sxm": "b200-180gb",
    "b200": "b200-180gb", "b300-sxm": "b300-288gb", "b300": "b300-288gb", "gb200": "gb200-186gb",
    "gb200-sxm": "gb200-186gb", "gb300": "gb300-288gb", "gb300-sxm": "gb300-288gb", "l4": "l4-24gb",
    "l40": "l40-48gb", "rtx-pro-6000-server": "rtx-pro-6000", "rtxpro6000": "rtx-pro-6000", "rtx4090": "rtx-4090",
    "b60": "arc-b60-24gb", "h100-sxm5": "h100-80gb", "a6000": "a6000-48gb", "rtx-a6000": "a6000-48gb",
    "h100-80gb-hbm3": "h100-80gb", "h100-nvl": "h100-94gb", "a100-sxm4-80gb": "a100-80gb",
    "a100-80gb-pcie": "a100-pcie",
    "a100-sxm4-40gb": "a100-40gb", "h200-sxm5": "h200-141gb", "b200-sxm6": "b200-180gb", "b300-sxm6": "b300-288gb",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case was measured to serve: mean seconds to the first token and between tokens."""

    case: Case
    first: float
    between: float
    when: date | None
    row: str

    @property
    def output_per_second(self) -> float:
        """Output tokens per second of a loop that keeps `in_flight` requests going."""
        output = self.case.output_tokens
        return self.case.in_flight * output / (self.first + output * self.between)


def card_named(asked: str, known: Mapping[str, Machine]) -> str:
    """A GPU's name in our books by what a board calls it. `known` are machines by name."""
    text = "-".join(asked.strip().lower().replace("_", "-").split())
    gpus = sorted({machine.gpu for machine in known.values()})
    return gpu_named(CARDS.get(text.removeprefix("nvidia-"), text), gpus)


def machine_of(gpu: str, count: int, known: Mapping[str, Machine]) -> Machine:
    """`count` cards of a kind, of any number."""
    name = card_named(gpu, known)
    if not 1 <= count <= 1024:
        raise BadInput(f"{count} cards make no machine", remedy="Give --count from 1.")
    first = next(machine for machine in known.values() if machine.gpu == name)
    return replace(first, name=f"{name}-x{count}", count=count)


def silicon(
    rows: Iterable[Mapping[str, str]], architectures: Mapping[str, Architecture], machines: Mapping[str, Machine]
) -> list[Measured]:
    """The rows that can be compared, the latest of each configuration, in the order of the table."""
    kept: dict[tuple[object, ...], Measured] = {}
    for row in rows:
        found = _silicon_row(row, architectures, machines)
        if found is None:
            continue
        case = found.case
        family = case.architecture.name.replace("deepseek-r1", "deepseek-v3")
        key = (family, *case.key[1:], case.input_tokens, case.output_tokens, case.in_flight, case.expert)
        older = kept.get(key)
        if older is None or (found.when or date.min) >= (older.when or date.min):
            kept[key] = found
    return list(kept.values())


def _silicon_row(
    row: Mapping[str, str], architectures: Mapping[str, Architecture], machines: Mapping[str, Machine]
) -> Measured | None:
    if row.get("mode") != "agg" or not row.get("precision") or int(row.get("attention_dp_size") or 1) > 1:
        return None
    origin = row.get("silicon_data_source", "")
    said = _CONCURRENCY.search(origin)
    in_flight = int(row.get("batch_size") or (said[1] if said else 0))
    cards, expert, cut = (max(int(row.get(name) or 1), 1) for name in ("tp_size", "moe_ep_size", "moe_tp_size"))
    doubled = any(each in origin for each in _DOUBLED)
    if expert > 1 and doubled:
        cards = expert
    if not in_flight or cards > _ONE_NODE or (min(cut, expert) > 1 and cut * expert != cards and not doubled):
        return None
    when = _MEASURED.search(origin)
    case = Case(
        architecture_named(row["model_path"], architectures),
        machine_of(row["system"], cards, machines),
        engine_named(row["backend"]),
        precision_named(row["precision"]),
        int(row["isl"]),
        int(row["osl"]),
        in_flight,
        expert=min(expert, cards),
        version=row.get("backend_version", ""),
    )
    first, between = float(row["silicon_ttft_ms"]) / 1e3, float(row["silicon_tpot_ms"]) / 1e3
    return Measured(case, first, between, date.fromisoformat(when[1]) if when else None, row["id"])
