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
    architecture: Architecture, machine: Machine, *, weight_bits: int, context_tokens: int, cache_bits: int = 16
) -> Fit:
    """Weights plus one request's key-value cache against the memory an engine may use.

    A 32.8 B model at 16 bits weighs 65.6 GB: it fits 1 x H100 80GB (72 GB usable) with 6.4 GB left for the cache.
    """
    weights = architecture.total_parameters * weight_bits / BITS_PER_BYTE / BYTES_PER_GB
    usable = machine.total_memory_gb * USABLE_SHARE
    cache_bytes = Decimal(architecture.kv_bytes_per_token * context_tokens * cache_bits) / 16
    per_request = cache_bytes / BYTES_PER_GB
    room = usable - weights
    in_flight = int(room / per_request) if room > 0 else 0
    return Fit(
        in_flight > 0,
        weights,
        usable,
        per_request,
        in_flight,
        _sentence(architecture, machine, weights, usable, in_flight),
    )


def _sentence(architecture: Architecture, machine: Machine, weights: Decimal, usable: Decimal, in_flight: int) -> str:
    shape = f"{machine.count} x {machine.gpu}"
    if weights >= usable:
        cards = int(weights / (machine.memory_gb * USABLE_SHARE)) + 1
        return (
            f"{architecture.name} does not fit {shape}: its weights are {weights:.0f} GB, {usable:.0f} GB can be used. "
            f"{cards} such cards would hold them, or fewer bits per weight."
        )
    if in_flight == 0:
        return f"{architecture.name} fits {shape} by its weights, but not one request of that context fits beside them."
    return (
        f"{architecture.name} fits {shape}: {weights:.0f} GB of {usable:.0f} GB are weights, "
        f"{in_flight} requests of that context fit beside them."
    )
