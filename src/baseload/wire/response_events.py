"""A streamed chat completion as the events of a response, in OpenAI's order and numbered. Pure.

An item begins, its parts begin, grow and end, it ends; then the response does. What a model says is one item at a time;
calls of tools stay open until the end, because their pieces may come mixed. A stream that ends without its end ends in
`response.failed`, never cleanly. The event that ends the response is given back by `finish` alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from baseload.errors import BadInput
from baseload.usage import Usage
from baseload.wire.answer import decoded
from baseload.wire.body import Fields
from baseload.wire.events import EVENT_BYTES, Splitter, payload
from baseload.wire.passage import Stream
from baseload.wire.response_from_completion import (
    COMPLETED,
    COMPLETION,
    FAILED,
    IN_PROGRESS,
    INCOMPLETE,
    Call,
    Called,
    Completion,
    Item,
    call_name,
    called,
    head,
    item_id,
    name_of,
    outcome,
    part,
    spoken,
    status_of,
    text_in,
)

ITEM_BYTES = 200
"""What an item holds beside its text, about."""


@dataclass(slots=True)
class _Speech:
    """A message or reasoning under way."""

    kind: str
    place: int
    id: str
    parts: list[Item] = field(default_factory=list)  # that have ended
    part: str = ""  # the kind of the one under way ...
    texts: list[str] = field(default_factory=list)  # ... and its pieces


@dataclass(slots=True)
class _Calling:
    """A call under way. It begins for the client once its name is known."""

    call_id: str = ""
    name: str = ""
    place: int = -1
    id: str = ""
    pieces: list[str] = field(default_factory=list)


class Events:
    """A stream for the client of a response. `inner` reads the upstream's and gives back a chat's chunks, usage too."""

    def __init__(self, inner: Stream, asked: Fields) -> None:
        self.service_tier = ""
        self.provider_usd: Decimal | None = None
        self.made: str | None = None  # nobody keeps it
        self.done = self.failed = self.began = False
        self.complaint = ""
        self._inner = inner
        self._asked = asked
        self._events = Splitter()
        self._head: Item = {}
        self._name = ""
        self._items: dict[int, Item] = {}  # that have ended, by their place
        self._places = 0  # that are taken
        self._speech: _Speech | None = None
        self._calls: list[_Calling] = []
        self._numbered: dict[int, _Calling] = {}  # the last call of each number
        self._reason: str | None = None
        self._broken = ""
        self._sequence = 0
        self._kept = 0

    @property
    def usage(self) -> Usage | None:
        return self._inner.usage

    @property
    def counted(self) -> bool:
        return self._inner.counted

    @property
    def written_tokens(self) -> int:
        return self._inner.written_tokens

    def feed(self, data: bytes) -> bytes:
        """What may be relayed now. Raises BadInput when one event is too long, or all that it would have to repeat."""
        out = b"".join(self._event(event) for event in self._events.feed(self._inner.feed(data)))
        self._follow()
        return out

    def finish(self) -> bytes:
        """What is left to relay once the upstream has ended its stream."""
        tail = self._inner.finish()
        out = b"".join(self._event(event) for event in (*self._events.feed(tail), self._events.rest()))
        self._follow()
        if not self.failed and self._reason is None and not self.done:
            self.failed, self.complaint = True, "The upstream's stream ended before its answer did. Try again."
        return out + self._begin(Completion()) + self._end()

    def _follow(self) -> None:
        """Take over what the inner stream has found out."""
        inner = self._inner
        self.done, self.began = inner.done, inner.began
        self.service_tier, self.provider_usd = inner.service_tier, inner.provider_usd
        self.failed = inner.failed or bool(self._broken)
        self.complaint = inner.complaint or self._broken

    def _event(self, event: bytes) -> bytes:
        """The events that one chunk becomes."""
        data = payload(event)
        if not data:
            return event.rstrip(b"\r\n") + b"\n\n" if event.startswith(b":") else b""  # its end may come in two pieces
        if data == b"[DONE]" or self._broken:
            return b""
        chunk = decoded(COMPLETION, data)
        choice = chunk.choice if chunk is not None else None
        if chunk is None or choice is None:
            if chunk is None or not chunk.silent:
                self._broken = "The upstream sent what is no part of an answer."
            return b""
        out = self._begin(chunk)
        if (delta := choice.delta) is not None:
            out += self._say("reasoning", "reasoning_text", delta.thought)
            out += self._say("message", "output_text", text_in(delta.content))
            out += self._say("message", "refusal", text_in(delta.refusal))
            for at, call in enumerate(delta.calls or ()):
                out += self._call(call, call.index if call.index is not None else at)
        self._reason = choice.finish_reason or self._reason
        return out

    def _begin(self, chunk: Completion) -> bytes:
        if self._head:
            return b""
        self._head = head(chunk, self._asked)
        self._name = name_of(chunk)
        return self._emit("response.created", response=self._head) + self._emit(
            "response.in_progress", response=self._head
        )

    # What the model says.

    def _say(self, kind: str, part_kind: str, text: str) -> bytes:
        """A piece of text, after the beginning of its item and part where they are new."""
        if not text:
            return b""
        self._keep(len(text))
        out, speech = self._open(kind)
        if speech.part != part_kind:
            out += self._close_part(speech)
            speech.part = part_kind
            empty = part(part_kind, "")
            out += self._of(speech, "response.content_part.added", part=empty)
        speech.texts.append(text)
        more: Item = {"logprobs": []} if part_kind == "output_text" else {}
        return out + self._of(speech, f"response.{part_kind}.delta", delta=text, **more)

    def _open(self, kind: str) -> tuple[bytes, _Speech]:
        """The item of that kind, begun if it is not under way."""
        if self._speech is not None and self._speech.kind == kind:
            return b"", self._speech
        out = self._close(COMPLETED)
        place = self._place()
        speech = self._speech = _Speech(kind, place, item_id(kind, self._name, place))
        item = spoken(kind, speech.id, IN_PROGRESS, [])
        return out + self._emit("response.output_item.added", output_index=place, item=item), speech

    def _close_part(self, speech: _Speech) -> bytes:
        if not speech.part:
            return b""
        text = "".join(speech.texts)
        made = part(speech.part, text)
        said = {"refusal": text} if speech.part == "refusal" else {"text": text}
        more: Item = {"logprobs": []} if speech.part == "output_text" else {}
        out = self._of(speech, f"response.{speech.part}.done", **said, **more)
        out += self._of(speech, "response.content_part.done", part=made)
        speech.parts.append(made)
        speech.part, speech.texts = "", []
        return out

    def _close(self, status: str) -> bytes:
        """End the message or the reasoning that is under way."""
        speech, self._speech = self._speech, None
        if speech is None:
            return b""
        out = self._close_part(speech)
        return out + self._done(speech.place, spoken(speech.kind, speech.id, status, speech.parts))

    def _of(self, speech: _Speech, kind: str, **body: object) -> bytes:
        """An event about the part under way."""
        place = {"item_id": speech.id, "output_index": speech.place, "content_index": len(speech.parts)}
        return self._emit(kind, **place, **body)

    # What the model calls.

    def _call(self, call: Call, number: int) -> bytes:
        """A call begins, or a piece of one comes. A new id beside a name is a new call, whatever its number."""
        function = call.function or Called()
        calling = self._numbered.get(number)
        if calling is None or (call.id and function.name and calling.call_id not in ("", call.id)):
            self._keep(ITEM_BYTES)
            calling = self._numbered[number] = _Calling()
            self._calls.append(calling)
        calling.call_id = calling.call_id or call.id or ""
        calling.name = calling.name or function.name or ""
        if piece := function.text:
            self._keep(len(piece))
            calling.pieces.append(piece)
        if calling.place >= 0:
            return self._argue(calling, piece)
        return self._announce(calling) if calling.name else b""

    def _announce(self, calling: _Calling) -> bytes:
        out = self._close(COMPLETED)
        place = calling.place = self._place()
        calling.id = item_id("function_call", self._name, place)
        calling.call_id = calling.call_id or call_name(self._name, place)
        item = called(calling.id, IN_PROGRESS, calling.call_id, calling.name, "")
        out += self._emit("response.output_item.added", output_index=place, item=item)
        return out + self._argue(calling, "".join(calling.pieces))

    def _argue(self, calling: _Calling, piece: str) -> bytes:
        if not piece:
            return b""
        place = {"item_id": calling.id, "output_index": calling.place}
        return self._emit("response.function_call_arguments.delta", **place, delta=piece)

    def _close_call(self, calling: _Calling, status: str) -> bytes:
        out = self._announce(calling) if calling.place < 0 else b""
        arguments = "".join(calling.pieces)
        place = {"item_id": calling.id, "output_index": calling.place}
        out += self._emit("response.function_call_arguments.done", **place, name=calling.name, arguments=arguments)
        return out + self._done(calling.place, called(calling.id, status, calling.call_id, calling.name, arguments))

    # How it ends.

    def _end(self) -> bytes:
        """End what is under way, then the response. Only the last item can have been cut."""
        status = INCOMPLETE if self.failed else status_of(self._reason)
        last = None if self._speech is not None or not self._calls else self._calls[-1]
        out = self._close(status)
        for calling in self._calls:
            out += self._close_call(calling, status if calling is last else COMPLETED)
        items = [self._items[place] for place in sorted(self._items)]
        made = {**self._head, **outcome(self._reason, items, self.usage)}
        if self.failed:
            error = {"code": "server_error", "message": self.complaint or "The upstream failed."}
            made |= {"status": FAILED, "incomplete_details": None, "error": error}
        return out + self._emit(f"response.{made['status']}", response=made)

    def _done(self, place: int, item: Item) -> bytes:
        self._items[place] = item
        return self._emit("response.output_item.done", output_index=place, item=item)

    def _place(self) -> int:
        self._keep(ITEM_BYTES)
        self._places += 1
        return self._places - 1

    def _keep(self, length: int) -> None:
        """The last event repeats all that was said, so that all of it is held: within the bound of one event."""
        self._kept += length
        if self._kept > EVENT_BYTES:
            remedy = "Set `max_output_tokens`."
            raise BadInput(f"the streamed answer is longer than {EVENT_BYTES} bytes", remedy=remedy)

    def _emit(self, kind: str, **body: object) -> bytes:
        made = {"type": kind, "sequence_number": self._sequence, **body}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(made))
