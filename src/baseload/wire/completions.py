"""Text completions, the endpoint before chat: what a request asks, and the same bytes for another model. Pure.

Base models, fill-in-the-middle and log-probabilities of whole texts live here. A prompt is one text or many, or the
tokens of one or many. Answers and streams have a chat's shape with `text` where that has a message.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from baseload.wire import openai
from baseload.wire.answer import tokens_in
from baseload.wire.asked import Asked, Operation, tag
from baseload.wire.body import Fields, inner_places, places, read_body

Prompt = str | list[str | int | list[int]]
"""A text, texts, the tokens of a text, the tokens of texts."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    prompt: Prompt | None = None
    suffix: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None  # 0 with `echo`: to judge the prompt
    user: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes) -> Asked:
    """What the body of POST /v1/completions asks for. Raises BadBody naming the field at fault and the remedy."""
    document, fields = read_body(body, _BODY, remedy="Send one JSON object with `model` and `prompt`.")
    if document.stream_options is not None:
        inner_places(bytes(fields["stream_options"]))
    suffix = prompt_tokens(document.suffix or "")
    return msgspec.structs.replace(
        read_prompts(body, fields, Operation.COMPLETIONS, document.model, document.prompt or "", document.user),
        stream=bool(document.stream),
        usage_asked=document.stream_options is not None and bool(document.stream_options.include_usage),
        output_cap=document.max_tokens or None,  # to some engines 0 is no cap
        input_tokens=prompt_tokens(document.prompt or "") + suffix,
    )


def read_prompts(
    body: bytes, fields: Fields, operation: Operation, model: str, prompt: Prompt, user: str | None
) -> Asked:
    """What a request of one prompt or many asks for, whatever is made of them."""
    standing, end = places(body, fields)
    tags: dict[str, str] = {}
    if user:
        tag("user", user, tags)
    return Asked(
        body=body,
        operation=operation,
        places=standing,
        end=end,
        model=model,
        stream=False,
        usage_asked=True,
        output_cap=0,
        needs=frozenset(),
        input_tokens=prompt_tokens(prompt),
        longest_tokens=longest_tokens(prompt),
        tags=tags,
    )


class Passage(openai.Passage):
    """A text completion on its way to an upstream that serves it: only the model name changes."""

    path = "/completions"


def prompt_tokens(prompt: Prompt) -> int:
    """An estimate of the tokens in a prompt; tokens are counted.

    >>> prompt_tokens("12345678"), prompt_tokens(["1234", "1234"]), prompt_tokens([1, 2, 3]), prompt_tokens([[1], [2]])
    (2, 2, 3, 2)
    """
    if isinstance(prompt, str):
        return tokens_in(len(prompt.encode()))
    return sum(_entry_tokens(each) for each in prompt)


def longest_tokens(prompt: Prompt) -> int:
    """An estimate of the tokens in the longest of several prompts; 0 where there is one.

    >>> longest_tokens(["1234", "12345678"]), longest_tokens([[1], [2, 3, 4]]), longest_tokens([1, 2, 3])
    (2, 3, 0)
    """
    if isinstance(prompt, str) or len(prompt) < 2 or isinstance(prompt[0], int):
        return 0
    return max(_entry_tokens(each) for each in prompt)


def _entry_tokens(entry: str | int | list[int]) -> int:
    if isinstance(entry, str):
        return tokens_in(len(entry.encode()))
    return len(entry) if isinstance(entry, list) else 1
