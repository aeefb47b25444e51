"""Many cases as columns of numbers, so that one pass of arithmetic answers all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baseload.capacity.case import ENGINES, Case, Precision
from baseload.catalog.entries import Machine
from baseload.units import BYTES_PER_GB

Column = NDArray[np.float64]
Whole = NDArray[np.int64]
TERA = 1e12
# What an engine keeps free for activations and its own: at most 3 GB a card, less on small cards (an RTX 4090 had room
# for 41,408 tokens of Llama-3.1-8B beside its weights, vLLM 0.19: 1.2 GB).
_KEPT, _KEPT_SHARE, _USABLE = 3.0, 0.05, 0.9
# Cards are sold by a GB of 2**30 bytes, some of which they keep: that 4090 of "24 GB" reports 25.25e9 bytes, an H200 of
# "141 GB" has 151.4e9 (AIConfigurator 0.12.0). Those of GDDR that correct errors give about as much of it away: an L40S
# of "48 GB" has 48.3e9.
_REAL = 1.052
_CORRECTED = ("l4-", "l40-", "l40s-", "a10-", "a10g-", "a40-", "a6000-", "rtx-pro-", "t4-")
_FIELDS = 28
_MXFP4 = 0.53125
_HOPPER = ("h100", "h200", "h20", "gh200")


@dataclass(frozen=True, slots=True)
class Columns:
    """One array per figure, one place in it per case. Bytes and operations are those of one card."""

    layers: Column
    hidden: Column
    expert_layers: Column
    experts: Column
    share: Column
    plain_bytes: Column
    expert_bytes: Column
    plain_flops: Column
    expert_flops: Column
    cache_bytes: Column
    window_bytes: Column
    state_bytes: Column
    attention_flops: Column
    bandwidth: Column
    link: Column
    cards: Column
    stages: Column
    kv_tokens: Column
    input: Column
    read: Column
    output: Column
    in_flight: Column
    latent: Column
    unpacked: Column
    spread: Column
    plain_total: Column
    most_requests: Column
    most_per_second: Column
    engine: Whole

    def __len__(self) -> int:
        return len(self.layers)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Columns:
        """Some of the cases."""
        return Columns(*(getattr(self, name)[rows] for name in self.__slots__))


def columns(cases: Sequence[Case]) -> Columns:
    """The cases, in their order."""
    table = np.array([_figures(case) for case in cases], dtype=np.float64).reshape(len(cases), _FIELDS)
    engines = [ENGINES.index(case.engine) if case.engine in ENGINES else len(ENGINES) for case in cases]
    figures: list[Column] = list(table.T)
    which: list[Whole] = [np.array(engines, dtype=np.int64)]
    return Columns(*figures, *which)  # type: ignore[arg-type]  # the count stands last


def _figures(case: Case) -> tuple[float, ...]:
    shape, machine, precision = case.architecture.shape, case.machine, case.precision
    assert shape is not None  # noqa: S101  a case has one
    plain_bytes, expert_bytes = weight_bytes(case)
    cards = case.tensor
    experts = shape.experts * shape.expert_layers * shape.expert_parameters
    rate = _rate(machine, precision.multiply) * TERA
    # Attention of gpt-oss and the like stays at 16 bits; what is multiplied at which precision follows the bytes.
    plain_rate = rate if plain_bytes < 2 or precision.multiply == "bf16" else float(machine.bf16_tflops) * TERA
    copies = max(cards // max(shape.kv_heads, 1), 1) / cards
    cache = shape.kv_elements * precision.cache_bytes * copies
    near = shape.window_elements * precision.cache_bytes * copies
    context = case.input_tokens + case.output_tokens
    window = min(shape.window, context - case.output_tokens // 2) if shape.window else 0
    held = (shape.plain_parameters * plain_bytes + 2 * shape.head_parameters * 2.0) + experts * expert_bytes
    real = 1.0 if f"{machine.gpu}-".startswith(_CORRECTED) else _REAL
    memory = float(machine.memory_gb) * BYTES_PER_GB * real
    free = memory * _USABLE - held / machine.count - min(_KEPT * BYTES_PER_GB, memory * _KEPT_SHARE)
    per_token = (cache + near * window / context + shape.state_bytes * copies / context) / case.pipeline
    return (
        shape.layers,
        shape.hidden,
        shape.expert_layers,
        shape.experts,
        shape.experts_per_token / shape.experts if shape.experts else 0.0,
        (shape.plain_parameters * plain_bytes + shape.head_parameters * 2.0) / cards,
        experts * expert_bytes / cards,
        2.0 * (shape.plain_parameters + shape.head_parameters) / cards / plain_rate,
        2.0 * shape.expert_layers * shape.experts_per_token * shape.expert_parameters / cards / rate,
        cache,
        near * window,
        shape.state_bytes * copies,
        4.0 * shape.attention_width / cards / (float(machine.bf16_tflops) * TERA),
        float(machine.bandwidth_tb_per_second) * TERA,
        float(machine.link_gb_per_second or 32) * BYTES_PER_GB,
        cards,
        case.pipeline,
        free / per_token if per_token else 1e12,
        case.input_tokens,
        case.input_tokens * (1.0 - case.cached),
        case.output_tokens,
        case.in_flight,
        float(shape.kv_heads == 0),
        float(_unpacked(machine, precision)),
        float(case.expert > 1),
        held / machine.count,
        case.most_requests,
        case.most_per_second,
    )


def weight_bytes(case: Case) -> tuple[float, float]:
    """Bytes of a weight outside and inside of experts. Four-bit mixtures keep the rest larger: gpt-oss and Kimi at 16
    bits, NVFP4 with a latent cache at 8 (their published quantization configs). The experts of gpt-oss are MXFP4: a
    scale of eight bits for every 32 weights."""
    shape, precision = case.architecture.shape, case.precision
    assert shape is not None  # noqa: S101  a case has one
    plain = precision.plain_bytes
    if shape.experts and plain < 1:
        if precision.name == "int4":
            plain = 2.0
        elif case.architecture.name.startswith("gpt-oss"):
            return 2.0, _MXFP4
        elif shape.kv_heads == 0:
            plain = 1.0
    return plain, precision.expert_bytes


def _unpacked(machine: Machine, precision: Precision) -> bool:
    """Whether four-bit weights are widened before they are multiplied, since the card has no units of four bits."""
    native = precision.multiply == "fp4" and machine.fp4_tflops is not None and not machine.gpu.startswith(_HOPPER)
    return precision.expert_bytes < 1 and not native


def _rate(machine: Machine, units: str) -> float:
    """TFLOPS of the units that multiply; where the card has none of that kind, of the next wider."""
    hopper = machine.gpu.startswith(_HOPPER)
    if units == "fp4" and machine.fp4_tflops is not None and not hopper:
        return float(machine.fp4_tflops)
    if units == "fp8" and machine.fp8_tflops is not None:
        return float(machine.fp8_tflops)
    return float(machine.bf16_tflops)
