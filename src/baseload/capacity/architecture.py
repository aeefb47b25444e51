"""What of a model decides whether it fits: parameters and the size of its key-value cache. A pure value."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from baseload.catalog.entries import Source


@dataclass(frozen=True, slots=True)
class Architecture:
    """`total_parameters` decide memory, `active_parameters` speed. `kv_bytes_per_token` is at 16 bits, all layers."""

    name: str
    total_parameters: Decimal
    active_parameters: Decimal
    kv_bytes_per_token: int
    context_tokens: int
    source: Source
