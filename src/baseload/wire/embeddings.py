"""Embeddings: what a request asks, and the same bytes for another model. Pure.

An embedding reads and writes nothing, so that its price is that of its input.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from baseload.wire import openai
from baseload.wire.answer import Answered, decoded, usage_in, usd_in
from baseload.wire.asked import Asked, Operation
from baseload.wire.body import read_body, splice
from baseload.wire.completions import Prompt, read_prompts


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    input: Prompt
    user: str | None = None


class _Document(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")


_BODY = msgspec.json.Decoder(_Body)
_DOCUMENT = msgspec.json.Decoder(_Document)


def read(body: bytes) -> Asked:
    """What the body of POST /v1/embeddings asks for. Raises BadBody naming the field at fault and the remedy."""
    document, fields = read_body(body, _BODY, remedy="Send one JSON object with `model` and `input`.")
    return read_prompts(body, fields, Operation.EMBEDDINGS, document.model, document.input, document.user)


class Passage(openai.Passage):
    """A request for embeddings on its way to an upstream that serves them: only the model name changes."""

    path = "/embeddings"

    def body(self, model: str) -> bytes:
        return splice(self._asked.body, [(*self._asked.places["model"], msgspec.json.encode(model))])

    def read(self, answer: bytes) -> Answered | None:
        return read_answer(answer)


def read_answer(answer: bytes) -> Answered | None:
    """What an answer with embeddings consumed; None when it holds none (an error, a page, nothing).

    `total_tokens` alone says it as well, as some providers write it: all that an embedding takes is input.
    """
    document = decoded(_DOCUMENT, answer)
    if document is None or not bytes(document.data).startswith(b"["):
        return None
    usage = bytes(document.usage)
    return Answered(usage_in(usage) or usage_in(usage, prompt="total_tokens"), 0, usd_in(usage))
