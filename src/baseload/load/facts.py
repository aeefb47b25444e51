"""What is known about a request before it is served. A pure value."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Bucket(StrEnum):
    """How good an answer the task needs (the articles' three buckets)."""

    BANDWIDTH = "bandwidth"
    JUDGMENT = "judgment"
    FLAGSHIP = "flagship"


class Operation(StrEnum):
    """What is asked, named for the endpoint. CHAT, RESPONSES and MESSAGES are one thing said in three dialects."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"

    @property
    def kind(self) -> Operation:
        """What a route must serve for it: the three dialects of a chat, and counting its tokens, are one thing.

        >>> Operation.MESSAGES.kind.value, Operation.EMBEDDINGS.kind.value
        ('chat', 'embeddings')
        """
        return self if self in (Operation.COMPLETIONS, Operation.EMBEDDINGS) else Operation.CHAT


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request as the dispatcher sees it.

    `at_ns` is nanoseconds since the epoch (UTC). `input_tokens` is an estimate; the true count comes with the Usage.
    `output_cap` is the client's own limit, None when it set none. `needs` names capabilities such as `tools`,
    `json_schema`, `vision`. `residency` empty means no constraint, and so do `residencies`, the regions that the
    client's key allows. `deadline_seconds` None means no deadline. `keeper` is the upstream
    that keeps what the request builds on, and the only one that can serve it; empty when it builds on nothing.
    `longest_tokens` is what has to fit into a context where several inputs are read one by one; 0: all of them.
    """

    at_ns: int
    model: str
    bucket: Bucket
    input_tokens: int
    output_cap: int | None = None
    stream: bool = False
    needs: frozenset[str] = frozenset()
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    residency: str = ""
    residencies: frozenset[str] = frozenset()
    deadline_seconds: float | None = None
    operation: Operation = Operation.CHAT
    request_id: str = ""
    trace: str = ""
    keeper: str = ""
    longest_tokens: int = 0
