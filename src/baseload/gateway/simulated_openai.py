"""A simulated upstream's OpenAI tongue: chat completions, completions and embeddings, whole and streamed. Pure."""

from __future__ import annotations

import base64
import struct

import msgspec

from baseload.gateway.simulated_task import Job, Task, Tool, json_of, words
from baseload.wire.problem import problem

DIMENSIONS = 8


class _Function(msgspec.Struct):
    name: str
    parameters: object = None


class _Tool(msgspec.Struct):
    function: _Function


class _Named(msgspec.Struct):
    name: str = ""


class _Choice(msgspec.Struct):
    function: _Named = msgspec.field(default_factory=_Named)


class _Schema(msgspec.Struct):
    schema: object = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Message(msgspec.Struct):
    content: object = None


class _Chat(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] = msgspec.field(default_factory=list)
    tool_choice: str | _Choice | None = None
    response_format: _Format | None = None
    store: bool | None = None


class _Prompt(msgspec.Struct):
    model: str
    prompt: str | list[object]
    max_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None


class Embed(msgspec.Struct):
    """A request for embeddings."""

    model: str
    input: str | list[object]
    dimensions: int = DIMENSIONS
    encoding_format: str = "float"


def refusal(status: int, message: str) -> bytes:
    """How OpenAI says no."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return problem(message, code="simulated", kind=kind)


def usage(job: Job, written: int) -> dict[str, int]:
    """What was consumed so far."""
    return {
        "prompt_tokens": job.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": job.prompt_tokens + written,
    }


class Chat:
    """POST /v1/chat/completions."""

    def read(self, body: bytes) -> Task:
        """The request. Raises msgspec.DecodeError."""
        asked = msgspec.json.decode(body, type=_Chat)
        return Task(
            model=asked.model,
            prompt_tokens=sum(words(message.content) for message in asked.messages),
            cap=asked.max_completion_tokens or asked.max_tokens,
            stream=asked.stream,
            usage_asked=asked.stream_options is not None and asked.stream_options.include_usage,
            tool=_forced(asked),
            document=_document(asked.response_format),
            kept=asked.store is True,
        )

    def whole(self, job: Job) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": job.text, "refusal": None}
        if job.tool is not None:
            call = {"id": _call_id(job), "type": "function", "function": _function(job.tool.name, job.text)}
            message |= {"content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(job)}
        document = {**self._envelope(job, "chat.completion"), "choices": [choice]}
        return msgspec.json.encode(document | ({"usage": usage(job, job.completion_tokens)} if job.reports else {}))

    def opening(self, job: Job) -> bytes:
        """The events before the first piece."""
        if job.tool is None:
            return self._event(job, {"role": "assistant", "content": ""}, None)
        call = {"index": 0, "id": _call_id(job), "type": "function", "function": _function(job.tool.name, "")}
        return self._event(job, {"role": "assistant", "content": None, "tool_calls": [call]}, None)

    def piece(self, job: Job, text: str) -> bytes:
        if job.tool is None:
            return self._event(job, {"content": text}, None)
        return self._event(job, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}, None)

    def closing(self, job: Job, written: int) -> bytes:
        """The events after the last piece."""
        said = self._event(job, {}, _finish(job))
        if job.task.usage_asked and job.reports:
            document = {**self._envelope(job, "chat.completion.chunk"), "choices": [], "usage": usage(job, written)}
            said += data(msgspec.json.encode(document))
        return said + data(b"[DONE]")

    def failing(self, message: str) -> bytes:
        """An error inside of a stream."""
        return data(refusal(500, message))

    def _event(self, job: Job, delta: dict[str, object], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data(msgspec.json.encode({**self._envelope(job, "chat.completion.chunk"), "choices": [choice]}))

    def _envelope(self, job: Job, kind: str) -> dict[str, object]:
        name = f"chatcmpl-simulated-{job.model}-{job.mark}{job.number}"
        return {"id": name, "object": kind, "created": job.created, "model": job.model}


class Completions:
    """POST /v1/completions."""

    def read(self, body: bytes) -> Task:
        """The request. Raises msgspec.DecodeError."""
        asked = msgspec.json.decode(body, type=_Prompt)
        return Task(
            model=asked.model,
            prompt_tokens=_tokens(asked.prompt),
            cap=asked.max_tokens,
            stream=asked.stream,
            usage_asked=asked.stream_options is not None and asked.stream_options.include_usage,
        )

    def whole(self, job: Job) -> bytes:
        document = self._document(job, job.text, _finish(job))
        return msgspec.json.encode(document | ({"usage": usage(job, job.completion_tokens)} if job.reports else {}))

    def opening(self, job: Job) -> bytes:
        del job
        return b""

    def piece(self, job: Job, text: str) -> bytes:
        return data(msgspec.json.encode(self._document(job, text, None)))

    def closing(self, job: Job, written: int) -> bytes:
        said = data(msgspec.json.encode(self._document(job, "", _finish(job))))
        if job.task.usage_asked and job.reports:
            last = self._document(job, "", None) | {"choices": [], "usage": usage(job, written)}
            said += data(msgspec.json.encode(last))
        return said + data(b"[DONE]")

    def failing(self, message: str) -> bytes:
        return data(refusal(500, message))

    def _document(self, job: Job, text: str, finish: str | None) -> dict[str, object]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        name = f"cmpl-simulated-{job.model}-{job.number}"
        return {
            "id": name,
            "object": "text_completion",
            "created": job.created,
            "model": job.model,
            "choices": [choice],
        }


def read_embed(body: bytes) -> tuple[Embed, Task]:
    """A request for embeddings. Raises msgspec.DecodeError."""
    asked = msgspec.json.decode(body, type=Embed)
    return asked, Task(model=asked.model, prompt_tokens=_tokens(asked.input), cap=0)


def embeddings(asked: Embed, job: Job) -> bytes:
    """A vector for each input: the same for the same input, of length one."""
    inputs = [asked.input] if isinstance(asked.input, str) or _is_tokens(asked.input) else asked.input
    vectors = [_vector(_tokens([each]), asked.dimensions) for each in inputs]
    found = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    document: dict[str, object] = {"object": "list", "data": found, "model": job.model}
    counts = {"prompt_tokens": job.prompt_tokens, "total_tokens": job.prompt_tokens}
    return msgspec.json.encode(document | ({"usage": counts} if job.reports else {}))


def data(payload: bytes) -> bytes:
    """One event."""
    return b"data: " + payload + b"\n\n"


def _vector(number: int, dimensions: int) -> list[float]:
    return [1.0 if place == number % dimensions else 0.0 for place in range(dimensions)]


def _encoded(vector: list[float], encoding: str) -> object:
    packed = struct.pack(f"<{len(vector)}f", *vector)
    return base64.b64encode(packed).decode() if encoding == "base64" else vector


def _is_tokens(prompt: object) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(isinstance(each, int) for each in prompt)


def _tokens(prompt: object) -> int:
    """Words of the texts of a prompt, or its tokens as they are."""
    if isinstance(prompt, int):
        return 1
    return sum(_tokens(each) for each in prompt) if isinstance(prompt, list) else words(prompt)


def _forced(asked: _Chat) -> Tool | None:
    """The tool that the request forces, if any."""
    choice = asked.tool_choice
    if not asked.tools or choice is None or choice in ("auto", "none"):
        return None
    wanted = choice.function.name if isinstance(choice, _Choice) else asked.tools[0].function.name
    found = next((each.function for each in asked.tools if each.function.name == wanted), None)
    return Tool(found.name, found.parameters) if found is not None else None


def _document(wanted: _Format | None) -> str | None:
    if wanted is None or wanted.type not in ("json_schema", "json_object"):
        return None
    schema = wanted.json_schema.schema if wanted.json_schema is not None else {"type": "object"}
    return json_of(schema)


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}


def _call_id(job: Job) -> str:
    return f"call_simulated_{job.number}"


def _finish(job: Job) -> str:
    if job.tool is not None:
        return "tool_calls"
    return "length" if job.capped else "stop"
