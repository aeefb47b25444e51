"""A question to the capacity model: which model, on what, with which engine, under which load. Pure values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from baseload.capacity.architecture import Architecture
from baseload.catalog.entries import Machine
from baseload.errors import BadInput

MOST_TOKENS = 10_000_000
MOST_IN_FLIGHT = 1_000_000
# The highest number of requests in a batch that engines are served with, where none is said.
MOST_REQUESTS = 1024


@dataclass(frozen=True, slots=True)
class Precision:
    """Bytes of a weight: those of experts and those of everything else, scales included. `multiply` are the units that
    multiply: fp4, fp8 or bf16. `cache_bytes` is one number of the key-value cache as such servers are mostly set."""

    name: str
    expert_bytes: float
    plain_bytes: float
    multiply: str
    cache_bytes: float


# 0.5625: four bits and a scale of eight for every sixteen weights (NVFP4); AWQ and GPTQ come close with 128 a group.
PRECISIONS = {
    "bf16": Precision("bf16", 2.0, 2.0, "bf16", 2.0),
    "fp8": Precision("fp8", 1.0, 1.0, "fp8", 1.0),
    "fp4": Precision("fp4", 0.5625, 0.5625, "fp4", 1.0),
    "int8": Precision("int8", 1.0, 1.0, "fp8", 2.0),
    "int4": Precision("int4", 0.5625, 0.5625, "bf16", 2.0),
}
_PRECISION_NAMES = {
    "fp16": "bf16", "float16": "bf16", "bfloat16": "bf16", "16": "bf16", "half": "bf16",
    "8": "fp8", "w8a8": "fp8", "fp8_block": "fp8", "fp8_static": "fp8", "fp8-dynamic": "fp8", "float8": "fp8",
    "nvfp4": "fp4", "mxfp4": "fp4", "w4a8_mxfp4_mxfp8": "fp4", "w4a16_mxfp4": "fp4", "w4a4": "fp4", "4": "int4",
    "awq": "int4", "gptq": "int4", "w4a16": "int4", "int4_wo": "int4", "w8a16": "int8", "int8_wo": "int8",
}  # fmt: skip
ENGINES = ("vllm", "sglang", "trtllm")
_ENGINE_NAMES = {"tensorrt-llm": "trtllm", "tensorrt_llm": "trtllm", "trt-llm": "trtllm", "trt": "trtllm"}


@dataclass(frozen=True, slots=True)
class Case:
    """`tensor` cards share every layer and `pipeline` stages follow each other: their product is the machine's count.
    `expert` is over how many cards whole experts are spread, 1 where each is cut. `in_flight` requests are kept going
    at once, each of `input_tokens` in and `output_tokens` out; `cached` is the share of a prompt known from before, and
    `most_requests` what the engine runs at once at the most (max_num_seqs). `most_per_second` is how many requests the
    front end takes in a second (30 to 240 were seen of servers as installed), infinite where that is no bound.
    """

    architecture: Architecture
    machine: Machine
    engine: str
    precision: Precision
    input_tokens: int
    output_tokens: int
    in_flight: int
    tensor: int = 0
    expert: int = 1
    pipeline: int = 1
    cached: float = 0.0
    version: str = ""
    most_requests: int = MOST_REQUESTS
    most_per_second: float = math.inf

    def __post_init__(self) -> None:
        if self.architecture.shape is None:
            raise BadInput(
                f"of {self.architecture.name} only the size is known, not its layers",
                remedy="Give its config.json: --config config.json.",
            )
        spans = ((self.input_tokens, MOST_TOKENS), (self.output_tokens, MOST_TOKENS), (self.in_flight, MOST_IN_FLIGHT))
        if any(not 1 <= figure <= most for figure, most in spans):
            raise BadInput(
                f"{self.input_tokens} tokens in, {self.output_tokens} out and {self.in_flight} in flight make no load",
                remedy="Give at least one token in, one out and one request in flight.",
            )
        if not self.tensor:
            object.__setattr__(self, "tensor", max(self.machine.count // self.pipeline, 1))
        if self.tensor * self.pipeline != self.machine.count:
            raise BadInput(
                f"tensor {self.tensor} x pipeline {self.pipeline} is not the {self.machine.count} cards of the machine",
                remedy="Let their product be --count.",
            )
        if not 1 <= self.most_requests <= MOST_IN_FLIGHT:
            raise BadInput(f"{self.most_requests} requests at once serve nobody", remedy="Give --max-num-seqs from 1.")
        if not self.most_per_second > 0:
            raise BadInput("a front end that takes no request serves nobody", remedy="Leave most_per_second out.")
        if not 1 <= self.expert <= self.machine.count or not 0 <= self.cached < 1:
            raise BadInput(
                f"experts cannot be spread over {self.expert} of {self.machine.count} cards, or a share of "
                f"{self.cached:g} of the prompts cannot be known",
                remedy="Give --ep up to --count and a share from 0 to below 1.",
            )

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What is measured as one deployment: model, card, engine, precision and how it is spread."""
        spread = f"{self.machine.count}{'e' if self.expert > 1 else 't'}"
        return (self.architecture.name, self.machine.gpu, self.engine, self.precision.name, spread)


def precision_named(asked: str, cache: str = "") -> Precision:
    """A precision by what people call it: fp8, NVFP4, AWQ, w4a16, 16. `cache` is that of the key-value cache where it
    is another than such servers mostly have: vLLM as installed keeps 16 bits beside weights of 8. Raises BadInput."""
    text = asked.strip().lower()
    found = PRECISIONS.get(_PRECISION_NAMES.get(text, text))
    if found is None:
        raise BadInput(f"no precision is called {asked[:40]!r}", remedy=f"Use one of {', '.join(PRECISIONS)}.")
    if not cache:
        return found
    kept = precision_named(cache)
    if kept.name not in ("bf16", "fp8"):
        raise BadInput(f"no engine keeps its cache at {cache[:40]!r}", remedy="Use bf16 or fp8.")
    return replace(found, cache_bytes=kept.plain_bytes)


def engine_named(asked: str) -> str:
    """An engine by its name; one that is not known is served by the mean of those that are."""
    text = asked.strip().lower()
    return _ENGINE_NAMES.get(text, text)
