"""The paths of the data plane: which operation each asks for, and in which dialect its client speaks. No I/O."""

from __future__ import annotations

from baseload.gateway.request import Headers
from baseload.load.facts import Operation
from baseload.wire.passage import Dialect

MODELS = "/v1/models"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
CHATS = "/v1/chat/completions"
CONVERSATIONS = "/v1/conversations"
ENDPOINTS = {
    CHATS: Operation.CHAT,
    RESPONSES: Operation.RESPONSES,
    MESSAGES: Operation.MESSAGES,
    f"{MESSAGES}/count_tokens": Operation.COUNT_TOKENS,
    "/v1/completions": Operation.COMPLETIONS,
    "/v1/embeddings": Operation.EMBEDDINGS,
}
"""What is asked with POST."""


def dialect_of(path: str, headers: Headers = ()) -> Dialect:
    """Whose dialect a client speaks: Anthropic's on its own paths, and on those of both when it names a version.

    >>> dialect_of("/v1/messages").value, dialect_of("/v1/chat/completions").value
    ('anthropic', 'openai')
    """
    if path.startswith(MESSAGES):
        return Dialect.ANTHROPIC
    versioned = path not in ENDPOINTS and any(name == b"anthropic-version" for name, _ in headers)
    return Dialect.ANTHROPIC if versioned else Dialect.OPENAI
