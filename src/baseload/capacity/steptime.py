"""How long one step of a serving engine takes. Pure, and plain enough for a compiler.

An engine works in steps: each writes one token for every request that decodes, and reads a piece of the prompts that
wait. With `m` tokens in the step (`batch` decodes and the rest prompt), `contexts` tokens of context behind the decodes
and `attention` pairs of prompt tokens that look at each other, a step takes

    (W(m)^p + (m c)^p)^(1/p)  +  k contexts + a attention  +  fixed + per_request batch + per_token m  [+ prefill]
    W(m) = w + x m q / (1 + (m - 1) q)

`W` reads the weights once: the shared ones, and of a mixture of experts those that m tokens touch. Were all experts as
likely, that would be 1 - (1 - q)^m; routers favour some, and more so the tokens of one batch. `m c` computes. A
step is bound by the slower of the two, softly (`p`). While the batch does not change only `contexts` does, by `batch` a
step, so `n` steps take `n` times the first and `k batch n (n - 1) / 2`: that is what makes a simulator fast.
"""

from __future__ import annotations

from typing import NamedTuple


class StepTime(NamedTuple):
    """One deployment's coefficients, in seconds (per token, request, pair of tokens, as named), and its bounds."""

    shared_weights: float
    """w: reading the weights that every token needs."""
    expert_weights: float
    """x: reading all experts; 0 for a dense model."""
    expert_share: float
    """q: the share of the experts that one token touches; 0 for a dense model."""
    compute: float
    """c: multiplying one token through."""
    softness: float
    """p: how softly the slower of reading and computing wins; at least 1."""
    context: float
    """k: reading one token of context of one decode."""
    attention: float
    """a: one pair of prompt tokens."""
    fixed: float
    """What every step costs: launches, layers, links."""
    per_request: float
    per_token: float
    prefill: float
    """What a step that reads prompts costs beside."""
    receive: float
    """Seconds before a request reaches the engine and after its first token leaves it."""
    kv_tokens: int
    """Tokens of context that fit into memory."""
    most_requests: int
    """Requests that may run at once."""
    step_tokens: int
    """Tokens that one step may hold."""
    mixed: bool
    """Prompts are read in pieces beside the decodes; else whole, while the decodes wait."""


def step_seconds(step: StepTime, batch: int, contexts: float, prompt: int, attention: float) -> float:
    """Seconds of a step with `batch` decodes on `contexts` tokens and `prompt` tokens of prompts read.

    >>> dense = StepTime(0.01, 0.0, 0.0, 1e-5, 1.0, 1e-8, 1e-12, 1e-3, 0.0, 0.0, 0.0, 0.1, 10**6, 256, 8192, True)
    >>> round(step_seconds(dense, 10, 10_000, 0, 0.0), 6)
    0.0112
    """
    tokens = batch + prompt
    touched = tokens * step.expert_share / (1.0 + max(tokens - 1.0, 0.0) * step.expert_share)
    weights = step.shared_weights + step.expert_weights * touched
    power = step.softness
    work: float = (weights**power + (tokens * step.compute) ** power) ** (1.0 / power)
    rest = step.fixed + step.per_request * batch + step.per_token * tokens
    reading = step.prefill if prompt > 0 else 0.0
    return work + step.context * contexts + step.attention * attention + rest + reading
