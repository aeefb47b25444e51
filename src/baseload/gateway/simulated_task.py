"""What a simulated model is asked and what it will write, whatever the dialect. Pure.

A word is a token. The answer is as many words as the cap allows; where the request forces a tool, it is a call of that
tool with arguments of its schema, and where it wants JSON of a schema, a document of that schema. Of such JSON four
characters are a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from baseload.gateway.simulated_schema import conforming

UNCAPPED_TOKENS = 64
"""What an answer is as long as when the client sets no cap."""
STREAM_EVENTS = 6
"""Real engines send a token an event; a demo at sixty times the speed coalesces them, as engines under load do."""
WORD = " word"
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the request forces the model to call, and the schema of its arguments."""

    name: str
    schema: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request, understood. `document` is JSON that the answer has to be, None for words."""

    model: str
    prompt_tokens: int
    cap: int | None = None
    stream: bool = False
    usage_asked: bool = True
    tool: Tool | None = None
    document: str | None = None
    follows: str | None = None
    conversation: str | None = None
    kept: bool = False
    background: bool = False  # it is answered at once and worked on after that


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An accepted task: what it reads, what it will write, how long each token takes."""

    task: Task
    number: int
    created: int
    first_token_seconds: float
    token_seconds: float
    reports: bool = True  # whether it says what it consumed
    mark: str = ""  # of its upstream: no two give their objects one name

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.first_token_seconds + self.completion_tokens * self.token_seconds

    @property
    def model(self) -> str:
        return self.task.model

    @property
    def prompt_tokens(self) -> int:
        return self.task.prompt_tokens

    @property
    def tool(self) -> Tool | None:
        return self.task.tool

    @property
    def capped(self) -> bool:
        """Whether the cap and not the model ended it."""
        return self.task.cap is not None and self.tool is None and self.task.document is None

    @property
    def text(self) -> str:
        """All that is written: words, a document, or the arguments of a call."""
        return "".join(piece for piece, _ in self.pieces).lstrip()

    @property
    def completion_tokens(self) -> int:
        return sum(tokens for _, tokens in self.pieces)

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """The answer as a stream brings it: texts and their tokens, at most `STREAM_EVENTS` of them."""
        return tuple(_pieces(self.task))


def words(text: object) -> int:
    """Words of a text, or of the texts in whatever holds them.

    >>> words([{"type": "text", "text": "one two"}, "three"])
    3
    """
    if isinstance(text, str):
        return len(text.split())
    if isinstance(text, list):
        return sum(words(each) for each in text)
    if isinstance(text, dict):
        return sum(words(text.get(name)) for name in ("text", "content", "output", "arguments", "input"))
    return 0


def json_of(schema: object) -> str:
    """A document that conforms to a schema."""
    return msgspec.json.encode(conforming(schema)).decode()


def _pieces(task: Task) -> Iterator[tuple[str, int]]:
    said = json_of(task.tool.schema) if task.tool is not None else task.document
    if said is None:
        left = task.cap if task.cap is not None else UNCAPPED_TOKENS
        size = max(1, -(-left // STREAM_EVENTS))
        for start in range(0, left, size):
            tokens = min(size, left - start)
            yield WORD * tokens, tokens
        return
    size = -(-len(said) // STREAM_EVENTS)
    for start in range(0, len(said), size):
        piece = said[start : start + size]
        yield piece, -(-len(piece) // CHARACTERS_PER_TOKEN)
