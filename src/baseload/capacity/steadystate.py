"""What a deployment serves with requests kept in flight: time to first token, between tokens, tokens a second. Pure.

The step of an engine (`steptime.py`) follows from what a card can read, multiply and send, from the layers of the model
and from constants of engines, fitted to measured serving (`training.py`). With as many requests in flight as are asked
for, or as fit, a token takes one step of all of them and its share of the prompts that are read meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baseload.capacity.case import ENGINES
from baseload.capacity.columns import Column, Columns
from baseload.capacity.constants import Constants
from baseload.capacity.steptime import StepTime

CHUNK = 8192
# SGLang admits a request when all it may write fits, others when what it has written does: on average half, and a bit.
RESERVES = ENGINES.index("sglang")


@dataclass(frozen=True, slots=True)
class Steps:
    """The coefficients of `StepTime` as columns, and how engines share their steps between prompts and tokens."""

    shared_weights: Column
    expert_weights: Column
    expert_share: Column
    compute: Column
    softness: float
    context: Column
    attention: Column
    fixed: Column
    per_request: Column
    per_token: Column
    prefill: Column
    receive: Column
    waiting: Column
    kv_tokens: Column

    def work(self, tokens: Column) -> Column:
        """Reading weights and multiplying, the slower of the two softly."""
        touched = tokens * self.expert_share / (1.0 + np.maximum(tokens - 1.0, 0.0) * self.expert_share)
        weights = self.shared_weights + self.expert_weights * touched
        power = self.softness
        found: Column = (weights**power + (tokens * self.compute) ** power) ** (1.0 / power)
        return found


@dataclass(frozen=True, slots=True)
class Served:
    """Seconds to the first token and between tokens, output tokens per second, and requests that really run."""

    first: Column
    between: Column
    output_per_second: Column
    running: Column


@dataclass(frozen=True, slots=True)
class Factors:
    """What was measured of a deployment against the model, as factors on seconds: 1 where nothing was."""

    step: Column | float = 1.0
    compute: Column | float = 1.0
    first: Column | float = 1.0


NONE = Factors()


def steps(of: Columns, constants: Constants, factors: Factors = NONE) -> Steps:
    """The step of every case."""
    known = constants.values
    engine = of.engine
    pace = np.exp(known["latent_pace"] * of.latent) * factors.step
    unpack = known["unpack_read"] * of.unpacked
    read = of.bandwidth * np.exp(known["read_plain"] - unpack)
    read_experts = of.bandwidth * np.exp(known["read_experts"] - unpack - known["expert_spread"] * of.spread)
    multiply = np.exp(known["multiply"] - known["unpack_multiply"] * of.unpacked) / factors.compute
    read_cache = of.bandwidth * np.exp(known["read_cache"] + constants.engine("cache", engine))
    several = of.cards > 1
    ring = 2.0 * of.layers * several
    sent = of.hidden * 4.0 * (of.cards - 1.0) / of.cards / (of.link * np.exp(known["link"]))
    launch = (
        np.exp(known["step"]) + of.layers * np.exp(known["layer"]) + of.expert_layers * np.exp(known["expert_layer"])
    )
    launch = launch * np.exp(constants.engine("launch", engine))
    hops = ring * np.exp(known["reduce"] + constants.engine("reduce", engine)) * np.log2(np.maximum(of.cards, 2.0))
    # A state lies in one piece and is read and written once a step, as weights are; the cache is in pages.
    state = of.window_bytes / read_cache + 2.0 * of.state_bytes / (of.bandwidth * np.exp(known["read_plain"]))
    return Steps(
        shared_weights=of.plain_bytes / read * pace,
        expert_weights=of.expert_bytes / read_experts * pace,
        expert_share=of.share,
        compute=(of.plain_flops + of.expert_flops) / multiply * pace,
        softness=known["softness"],
        context=of.cache_bytes / read_cache * pace,
        attention=of.attention_flops / np.exp(known["attention"]) * factors.compute * pace,
        fixed=(launch + hops) * pace,
        per_request=(np.exp(known["request"]) + state) * pace,
        per_token=ring * sent * pace,
        prefill=of.layers * np.exp(known["prefill_layer"]) * pace,
        receive=np.exp(known["receive"] + constants.engine("receive", engine)) * np.ones_like(of.layers),
        waiting=1.0 / (1.0 + np.exp(-(known["waiting"] + constants.engine("waiting", engine)))),
        kv_tokens=of.kv_tokens,
    )


def serve(of: Columns, constants: Constants, factors: Factors = NONE) -> Served:
    """Steady state with `in_flight` requests kept going."""
    step = steps(of, constants, factors)
    whole = of.input + of.output
    room = np.maximum(step.kv_tokens / (of.input + np.where(of.engine == RESERVES, 1.0, 0.6) * of.output), 1.0)
    running = np.clip(of.in_flight, 1.0, np.minimum(room, of.most_requests))
    context = whole - of.output / 2.0
    token = step.work(running) + step.context * running * context + step.fixed
    token = token + running * (step.per_request + step.per_token)
    # Where more than one request comes to its end in a step, as many prompts are read together as a step holds.
    together = np.clip(running / of.output, 1.0, np.maximum(CHUNK / of.read, 1.0))
    pairs = of.read * (of.input - of.read / 2.0)
    each = step.attention * pairs + step.per_token * of.read
    busy = step.compute * of.read + each
    prompt = step.work(together * of.read) + together * each + step.fixed + step.prefill
    floor = 0.3 * (step.shared_weights + step.expert_weights)
    delay = np.maximum((prompt - 0.5 * step.fixed - floor) / together, busy)
    others = running - 1.0
    between = token + others / of.output * delay * (1.0 - step.waiting)
    waits = step.waiting * others * prompt / together * np.exp(constants.values["queue"]) / 2.0
    behind = np.maximum(of.in_flight - running, 0.0) / running * (between * of.output + prompt)
    first = (step.receive + prompt + token + waits) * factors.first + behind
    first = np.maximum(first, of.in_flight / of.most_per_second - of.output * between)
    return Served(first, between, of.in_flight * of.output / (first + of.output * between), running)


def step_times(of: Columns, constants: Constants, factors: Factors = NONE) -> list[StepTime]:
    """Each case's step as plain numbers, for the simulator."""
    found = steps(of, constants, factors)
    mixed = (
        of.engine != RESERVES
    )  # SGLang reads prompts before it goes on; vLLM and TensorRT-LLM in pieces beside the tokens
    ones = np.ones(len(of))
    table = np.stack(
        [
            found.shared_weights, found.expert_weights, found.expert_share, found.compute, found.softness * ones,
            found.context, found.attention, found.fixed, found.per_request, found.per_token, found.prefill,
            found.receive * factors.first,
        ],
        axis=1,
    )  # fmt: skip
    return [
        StepTime._make([*row, int(max(room, 1)), int(most), CHUNK, bool(beside)])
        for row, room, most, beside in zip(table.tolist(), found.kv_tokens, of.most_requests, mixed, strict=True)
    ]
