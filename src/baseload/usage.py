"""What one attempt consumed, in leaf units that never overlap. Pure.

Providers report nested counts (cached tokens inside input, reasoning inside output). They are decomposed once, where
the answer is read, so that nothing downstream can count a token twice.
"""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Token counts of one attempt. Every field is a leaf: the sum over all fields is every token once.

    `input_tokens` were read at the full price, `cache_read_tokens` came from a prompt cache, `cache_write_tokens` and
    `cache_write_1h_tokens` were stored in one; `output_tokens` were answered, `reasoning_tokens` were thought.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens read, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens

    @property
    def completion_tokens(self) -> int:
        """All tokens written, reasoning included."""
        return self.output_tokens + self.reasoning_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


def leaves(
    *,
    prompt: int,
    completion: int,
    cache_read: int = 0,
    cache_write: int = 0,
    cache_write_1h: int = 0,
    reasoning: int = 0,
) -> Usage:
    """Decompose nested provider counts. Parts that exceed their whole are cut to it, so the totals always hold.

    >>> leaves(prompt=100, completion=20, cache_read=64, reasoning=5).input_tokens
    36
    """
    read = min(cache_read, prompt)
    written_1h = min(cache_write_1h, prompt - read)
    written = min(cache_write, prompt - read - written_1h)
    thought = min(reasoning, completion)
    return Usage(
        input_tokens=prompt - read - written - written_1h,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=written_1h,
        output_tokens=completion - thought,
        reasoning_tokens=thought,
    )
