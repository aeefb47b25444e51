"""The layers of a model, counted: what one step has to read, multiply and keep. A pure value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters are counts of weights, elements are numbers in the key-value cache, of whatever size each is stored.

    A dense model has no experts. `kv_heads` is how often attention can be split over cards; 0 where every card keeps
    the whole cache (a latent). `kv_elements` grow with every token of context, `window_elements` only up to `window`
    tokens, `state_bytes` not at all. `top_tokens` are those that sparse attention looks at, 0 for all.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    plain_parameters: int
    """Attention, dense and shared feed-forward weights, routers: what every token needs, without the vocabulary."""
    head_parameters: int
    """The vocabulary's matrix, once."""
    tied: bool
    """Embedding and output head are the same matrix."""
    experts: int
    experts_per_token: int
    expert_layers: int
    expert_parameters: int
    """One expert of one layer."""
    kv_elements: float
    window_elements: float
    window: int
    attention_width: float
    """Numbers that one pair of tokens multiplies, over all layers with full attention."""
    state_bytes: int
    top_tokens: int
    context_tokens: int

    @property
    def total_parameters(self) -> int:
        vocabulary = self.head_parameters * (1 if self.tied else 2)
        return self.plain_parameters + vocabulary + self.experts * self.expert_layers * self.expert_parameters

    @property
    def active_parameters(self) -> int:
        """Read for one token; of the vocabulary only the output head is."""
        chosen = self.experts_per_token * self.expert_layers * self.expert_parameters
        return self.plain_parameters + self.head_parameters + chosen

    def kv_bytes(self, context_tokens: int, element_bytes: float = 2.0) -> float:
        """Bytes one request of that context keeps, on all cards together."""
        inside = min(context_tokens, self.window) if self.window else 0
        return (self.kv_elements * context_tokens + self.window_elements * inside) * element_bytes + self.state_bytes
