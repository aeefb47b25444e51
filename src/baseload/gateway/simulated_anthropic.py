"""A simulated upstream's Anthropic tongue: messages, whole and streamed, and the counting of tokens. Pure."""

from __future__ import annotations

import msgspec

from baseload.gateway.simulated_task import Job, Task, Tool, json_of, words
from baseload.wire.problem import anthropic_problem


class _Tool(msgspec.Struct):
    name: str
    input_schema: object = None


class _Choice(msgspec.Struct):
    type: str
    name: str = ""


class _Format(msgspec.Struct):
    schema: object = None


class _Config(msgspec.Struct):
    format: _Format | None = None


class _Message(msgspec.Struct):
    content: object = None


class _Counted(msgspec.Struct):
    model: str
    messages: list[_Message]
    system: object = None


class _Asked(_Counted, kw_only=True):
    max_tokens: int
    stream: bool = False
    tools: list[_Tool] = msgspec.field(default_factory=list)
    tool_choice: _Choice | None = None
    output_config: _Config | None = None
    output_format: _Format | None = None


def refusal(status: int, message: str) -> bytes:
    """How Anthropic says no."""
    return anthropic_problem(status, message)


def counted(body: bytes) -> Task:
    """A request to count tokens. Raises msgspec.DecodeError."""
    asked = msgspec.json.decode(body, type=_Counted)
    return Task(model=asked.model, prompt_tokens=_read(asked), cap=0)


class Messages:
    """POST /v1/messages."""

    def read(self, body: bytes) -> Task:
        """The request. Raises msgspec.DecodeError."""
        asked = msgspec.json.decode(body, type=_Asked)
        wanted = asked.output_format or (asked.output_config.format if asked.output_config is not None else None)
        return Task(
            model=asked.model,
            prompt_tokens=_read(asked),
            cap=asked.max_tokens,
            stream=asked.stream,
            tool=_forced(asked),
            document=json_of(wanted.schema) if wanted is not None else None,
        )

    def whole(self, job: Job) -> bytes:
        block: dict[str, object] = {"type": "text", "text": job.text}
        if job.tool is not None:
            block = {**_call(job), "input": msgspec.json.decode(job.text)}
        said = {**self._message(job), "content": [block], "stop_reason": _stop(job)}
        return msgspec.json.encode(said | ({"usage": _usage(job, job.completion_tokens)} if job.reports else {}))

    def opening(self, job: Job) -> bytes:
        """The events before the first piece."""
        message = {**self._message(job), "content": [], "stop_reason": None}
        if job.reports:
            message["usage"] = _usage(job, 1)
        block = {"type": "text", "text": ""} if job.tool is None else {**_call(job), "input": {}}
        return (
            _event("message_start", message=message)
            + _event("content_block_start", index=0, content_block=block)
            + _event("ping")
        )

    def piece(self, job: Job, text: str) -> bytes:
        kind, name = ("text_delta", "text") if job.tool is None else ("input_json_delta", "partial_json")
        return _event("content_block_delta", index=0, delta={"type": kind, name: text})

    def closing(self, job: Job, written: int) -> bytes:
        """The events after the last piece."""
        delta = {"stop_reason": _stop(job), "stop_sequence": None}
        counts = {"usage": {"output_tokens": written}} if job.reports else {}
        return (
            _event("content_block_stop", index=0)
            + _event("message_delta", delta=delta, **counts)
            + _event("message_stop")
        )

    def failing(self, message: str) -> bytes:
        """An error inside of a stream."""
        return b"event: error\ndata: " + refusal(529, message) + b"\n\n"

    def _message(self, job: Job) -> dict[str, object]:
        name = f"msg_simulated_{job.number}"
        return {"id": name, "type": "message", "role": "assistant", "model": job.model, "stop_sequence": None}


def _event(kind: str, **more: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **more}))


def _usage(job: Job, written: int) -> dict[str, int]:
    none = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": job.prompt_tokens, **none, "output_tokens": written}


def _read(asked: _Counted) -> int:
    return words(asked.system) + sum(words(message.content) for message in asked.messages)


def _forced(asked: _Asked) -> Tool | None:
    """The tool that the request forces, if any."""
    choice = asked.tool_choice
    if not asked.tools or choice is None or choice.type not in ("tool", "any"):
        return None
    wanted = choice.name or asked.tools[0].name
    found = next((each for each in asked.tools if each.name == wanted), None)
    return Tool(found.name, found.input_schema) if found is not None else None


def _call(job: Job) -> dict[str, object]:
    name = job.tool.name if job.tool is not None else ""
    return {"type": "tool_use", "id": f"toolu_simulated_{job.number}", "name": name}


def _stop(job: Job) -> str:
    if job.tool is not None:
        return "tool_use"
    return "max_tokens" if job.capped else "end_turn"
