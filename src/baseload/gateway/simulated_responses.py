"""A simulated upstream's Responses tongue: objects that it keeps, streams of typed events. Holds what it keeps."""

from __future__ import annotations

import msgspec

from baseload.gateway.simulated_task import Job, Task, Tool, json_of, words

MOST_KEPT = 1_000


class _Tool(msgspec.Struct):
    name: str = ""
    parameters: object = None


class _Choice(msgspec.Struct):
    name: str = ""


class _Format(msgspec.Struct):
    type: str
    schema: object = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Asked(msgspec.Struct):
    model: str
    input: str | list[object]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool = False
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | None = None
    background: bool = False
    tools: list[_Tool] = msgspec.field(default_factory=list)
    tool_choice: str | _Choice | None = None
    text: _Text | None = None


class Kept(msgspec.Struct):
    """A response that is kept: the job, what was put in, and when it is done. `cancelled` before that."""

    job: Job
    input: str | list[object]
    tokens: int
    done_at: float
    cancelled: bool = False


class Responses:
    """POST /v1/responses, and what follows up on what it made."""

    def __init__(self, model: str) -> None:
        self.kept: dict[str, Kept] = {}
        self._model = model

    def read(self, body: bytes) -> Task:
        """The request. Raises msgspec.DecodeError."""
        asked = msgspec.json.decode(body, type=_Asked)
        wanted = asked.text.format if asked.text is not None else None
        before = self.kept.get(asked.previous_response_id or "")
        return Task(
            model=asked.model,
            prompt_tokens=words(asked.input) + words(asked.instructions) + (before.tokens if before else 0),
            cap=asked.max_output_tokens,
            stream=asked.stream,
            tool=_forced(asked),
            document=json_of(wanted.schema) if wanted is not None and wanted.type == "json_schema" else None,
            follows=asked.previous_response_id,
            conversation=asked.conversation,
            kept=asked.store is not False,
            background=asked.background,
        )

    def keep(self, job: Job, body: bytes, done_at: float = 0.0) -> None:
        """Keep a response that is made by `done_at`, unless its request forbade it."""
        if not job.task.kept:
            return
        if len(self.kept) >= MOST_KEPT:
            self.kept.pop(next(iter(self.kept)))
        put = msgspec.json.decode(body, type=_Asked).input
        tokens = job.prompt_tokens + job.completion_tokens
        self.kept[self.name(job)] = Kept(job, put, tokens, done_at)

    def document(self, kept: Kept, now: float) -> bytes:
        """A response as it stands."""
        if kept.cancelled or now < kept.done_at:
            return self.waiting(kept.job, "cancelled" if kept.cancelled else "in_progress")
        return self.whole(kept.job)

    def waiting(self, job: Job, status: str = "queued") -> bytes:
        """A response that is not done."""
        return msgspec.json.encode(self._envelope(job, status) | {"output": [], "usage": None})

    def inputs(self, kept: Kept) -> bytes:
        """GET /v1/responses/{id}/input_items."""
        items = kept.input
        if isinstance(items, str):
            items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": items}]}]
        return msgspec.json.encode({"object": "list", "data": items, "has_more": False})

    def name(self, job: Job) -> str:
        return f"resp_simulated_{self._model}_{job.mark}{job.number}"

    def whole(self, job: Job) -> bytes:
        return msgspec.json.encode(self._response(job, job.completion_tokens))

    def opening(self, job: Job) -> bytes:
        """The events before the first piece."""
        started = self._envelope(job, "in_progress") | {"output": [], "usage": None}
        item, part = _item(job, "", "in_progress"), _part("")
        said = _event("response.created", 0, response=started) + _event("response.in_progress", 1, response=started)
        if job.tool is None:
            item = item | {"content": []}
        said += _event("response.output_item.added", 2, output_index=0, item=item)
        if job.tool is not None:
            return said
        return said + _event("response.content_part.added", 3, **_place(job), part=part)

    def piece(self, job: Job, text: str) -> bytes:
        if job.tool is not None:
            return _event("response.function_call_arguments.delta", 4, **_place(job), delta=text)
        return _event("response.output_text.delta", 4, **_place(job), delta=text, logprobs=[])

    def closing(self, job: Job, written: int) -> bytes:
        """The events after the last piece."""
        place, text = _place(job), "".join(piece for piece, _ in job.pieces)
        if job.tool is not None:
            said = _event("response.function_call_arguments.done", 5, **place, arguments=text, name=job.tool.name)
        else:
            said = _event("response.output_text.done", 5, **place, text=text, logprobs=[])
            said += _event("response.content_part.done", 6, **place, part=_part(text))
        said += _event("response.output_item.done", 7, output_index=0, item=_item(job, text, "completed"))
        response = self._response(job, written)
        return said + _event(f"response.{response['status']}", 8, response=response)

    def failing(self, message: str) -> bytes:
        """An error inside of a stream."""
        return _event("error", 9, code="server_error", message=message, param=None)

    def _response(self, job: Job, written: int) -> dict[str, object]:
        status = "incomplete" if job.capped else "completed"
        counts = {
            "input_tokens": job.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": job.prompt_tokens + written,
        }
        details = {"reason": "max_output_tokens"} if job.capped else None
        return self._envelope(job, status) | {
            "incomplete_details": details,
            "output": [_item(job, job.text, status)],
            "usage": counts if job.reports else None,
        }

    def _envelope(self, job: Job, status: str) -> dict[str, object]:
        return {
            "id": self.name(job),
            "object": "response",
            "created_at": job.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": job.model,
            "parallel_tool_calls": True,
            "previous_response_id": job.task.follows,
            "background": job.task.background,
            "store": job.task.kept,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        }


def _event(kind: str, number: int, **more: object) -> bytes:
    document = msgspec.json.encode({"type": kind, "sequence_number": number, **more})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), document)


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(job: Job, text: str, status: str) -> dict[str, object]:
    if job.tool is None:
        content = [_part(text)]
        return {
            "id": _item_id(job),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }
    call = {"call_id": f"call_simulated_{job.number}", "name": job.tool.name, "arguments": text}
    return {"id": _item_id(job), "type": "function_call", "status": status, **call}


def _item_id(job: Job) -> str:
    return f"{'msg' if job.tool is None else 'fc'}_simulated_{job.number}"


def _place(job: Job) -> dict[str, object]:
    inside = {"content_index": 0} if job.tool is None else {}
    return {"item_id": _item_id(job), "output_index": 0, **inside}


def _forced(asked: _Asked) -> Tool | None:
    """The tool that the request forces, if any."""
    choice = asked.tool_choice
    if not asked.tools or choice is None or choice in ("auto", "none"):
        return None
    wanted = choice.name if isinstance(choice, _Choice) else asked.tools[0].name
    found = next((each for each in asked.tools if each.name == wanted), None)
    return Tool(found.name, found.parameters) if found is not None else None
