"""What of a model decides whether it fits and how fast it runs. A pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from baseload.capacity.shape import Shape
from baseload.catalog.books import bare_name
from baseload.catalog.entries import Source
from baseload.errors import UnknownModel

# What a name says of how the weights are packed or tuned, and not of their number.
_TAILS = (
    "-instruct",
    "-it",
    "-chat",
    "-base",
    "-hf",
    "-fp8",
    "-fp4",
    "-nvfp4",
    "-mxfp4",
    "-bf16",
    "-awq",
    "-gptq",
    "-int4",
    "-w4a16",
    "-static-pertensor",
    "-kv",
    "-quantized.w8a8",
    "-quantized.w4a16",
    "-dynamic",
    "-thinking",
    "-2507",
    "-v1",
)
_HEADS = ("meta-", "nvidia-")


@dataclass(frozen=True, slots=True)
class Architecture:
    """`total_parameters` decide memory, `active_parameters` speed. `kv_bytes_per_token` is at 16 bits, all layers.

    `shape` is None where only the sizes are known: then it can be said what fits, not how fast it runs. `names` are
    other names it goes by.
    """

    name: str
    total_parameters: Decimal
    active_parameters: Decimal
    kv_bytes_per_token: int
    context_tokens: int
    source: Source
    shape: Shape | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def counted(cls, name: str, shape: Shape, source: Source, names: tuple[str, ...] = ()) -> Architecture:
        """The sizes that follow from a shape."""
        kept = round(shape.kv_elements * 2)
        total, active = Decimal(shape.total_parameters), Decimal(shape.active_parameters)
        return cls(name, total, active, kept, shape.context_tokens, source, shape, names)


def architecture_named(asked: str, known: Mapping[str, Architecture]) -> Architecture:
    """The architecture of a model by its name, its path on Hugging Face, or either with a tail such as `-Instruct-FP8`.

    Raises UnknownModel that says how a model becomes known.
    """
    by_name = {plain: each for each in known.values() for plain in _plain_names(each)}
    text = bare_name(asked)
    for head in _HEADS:
        text = text.removeprefix(head)
    while text not in by_name:
        shorter = next((text.removesuffix(tail) for tail in _TAILS if text.endswith(tail)), None)
        if not shorter:
            near = get_close_matches(text, by_name, 3, cutoff=0.5) or ["qwen3-32b", "llama-3.1-70b"]
            raise UnknownModel(
                f"the layers of {asked!r} are not known",
                remedy=f"Use one of the {len(known)} that are, as {', '.join(near)}; or give the file published beside "
                "its weights: baseload capacity --config config.json.",
            )
        text = shorter
    return by_name[text]


def _plain_names(architecture: Architecture) -> list[str]:
    return [bare_name(architecture.name), *(bare_name(each) for each in architecture.names)]
