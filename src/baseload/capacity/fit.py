"""Does the model fit the machine: asked before any money. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from baseload.capacity.architecture import Architecture
from baseload.catalog.entries import Machine
from baseload.units import BITS_PER_BYTE, BYTES_PER_GB

# vLLM's default gpu_memory_utilization; the rest is for activations, the CUDA context and fragmentation.
USABLE_SHARE = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class Fit:
    """Memory in GB (10^9 bytes). `max_in_flight` requests of the asked context fit at once, 0 when weights do not."""

    fits: bool
    weights_gb: Decimal
    usable_gb: Decimal
    kv_gb_per_request: Decimal
    max_in_flight: int
    sentence: str


def fit(
    architecture: Architecture,
    machine: Machine,
    *,
    weight_bits: Decimal | int,
    context_tokens: int,
    cache_bits: int = 16,
    pipeline: int = 1,
) -> Fit:
    """Weights plus one request's key-value cache against the memory an engine may use.

    The cards share the weights, and of the cache what can be split: a card holds at least one key-value head, and all
    of a latent. `pipeline` stages each hold their own layers and split nothing twice. A 32.8 B model at 16 bits weighs
    65.6 GB: it fits 1 x H100 80GB (72 GB usable) with 6.4 GB left for the cache.
    """
    weights = architecture.total_parameters * weight_bits / BITS_PER_BYTE / BYTES_PER_GB
    usable = machine.total_memory_gb * USABLE_SHARE
    per_request = _cache_bytes(architecture, context_tokens, cache_bits) * _copies(architecture, machine, pipeline)
    per_request /= BYTES_PER_GB
    room = usable - weights
    in_flight = int(room / per_request) if room > 0 and per_request > 0 else 0
    sentence = _sentence(architecture, machine, weights, usable, in_flight, weight_bits)
    return Fit(in_flight > 0, weights, usable, per_request, in_flight, sentence)


def _cache_bytes(architecture: Architecture, context_tokens: int, cache_bits: int) -> Decimal:
    if architecture.shape is None:
        return Decimal(architecture.kv_bytes_per_token * context_tokens * cache_bits) / 16
    return Decimal(architecture.shape.kv_bytes(context_tokens, cache_bits / BITS_PER_BYTE))


def _copies(architecture: Architecture, machine: Machine, pipeline: int) -> int:
    """How often the same cache is kept by the cards that share a layer."""
    shape, together = architecture.shape, max(machine.count // pipeline, 1)
    if shape is None:
        return 1
    return max(together // max(shape.kv_heads, 1), 1)


def _sentence(
    architecture: Architecture, machine: Machine, weights: Decimal, usable: Decimal, in_flight: int, bits: Decimal | int
) -> str:
    shape = f"{machine.count} x {machine.gpu}"
    if weights >= usable:
        cards = int(weights / (machine.memory_gb * USABLE_SHARE)) + 1
        fewer = next((less for less in (8, 4) if less < bits and weights * less / bits < usable), None)
        or_less = f", or {fewer} bits per weight" if fewer else ""
        return (
            f"{architecture.name} does not fit {shape}: its weights are {weights:.0f} GB, {usable:.0f} GB can be used. "
            f"{cards} such cards would hold them{or_less}."
        )
    if in_flight == 0:
        return f"{architecture.name} fits {shape} by its weights, but not one request of that context fits beside them."
    return (
        f"{architecture.name} fits {shape}: {weights:.0f} GB of {usable:.0f} GB are weights, "
        f"{in_flight} requests of that context fit beside them."
    )
