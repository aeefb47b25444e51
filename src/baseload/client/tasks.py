"""The five tasks of article 2: what each asks a model, in which bucket, and how its answer is read. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict

from baseload.client.result import BadAnswer, Result, Value
from baseload.client.shape import Shape, choice_of, shape_of
from baseload.errors import BadInput
from baseload.load.buckets import TASKS, named
from baseload.load.facts import Bucket

AUTO = "auto"
Labels = Sequence[str] | Mapping[str, str]


class Options(TypedDict, total=False):
    """What every task takes beside its own arguments.

    `model` asks for a model or a virtual one instead of `auto`; `bucket` says how good an answer is needed instead of
    what the task stands for. `tags` are written into the ledger with the call, `residency` is where its data must stay.
    `max_tokens` limits the answer, `timeout` the seconds it may take. `more` are further fields of the request.
    """

    model: str
    bucket: Bucket | str
    tags: Mapping[str, str]
    residency: str
    max_tokens: int
    timeout: float
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task(Generic[Value]):
    """A request to be sent, and the reader of its answer, which raises ValueError with what is wrong."""

    name: str
    system: str
    text: str
    read: Callable[[str], Value]
    response_format: Mapping[str, Any] | None = None

    def request(self, options: Options, tags: Mapping[str, str]) -> dict[str, Any]:
        """Arguments for `chat.completions.create`."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {
            "model": options.get("model", AUTO),
            "messages": [*messages, {"role": "user", "content": self.text}],
            "extra_headers": self._headers(options, {**tags, **options.get("tags", {})}),
        }
        if self.response_format is not None:
            body["response_format"] = self.response_format
        if "max_tokens" in options:
            body["max_completion_tokens"] = options["max_tokens"]
        if "timeout" in options:
            body["timeout"] = options["timeout"]
        if "more" in options:
            body["extra_body"] = dict(options["more"])
        return body

    def answered(self, result: Result[None]) -> Result[Value]:
        """The same result with its value. Raises BadAnswer when there is none."""
        if not result.text:
            refusal = result.raw.choices[0].message.refusal if result.raw.choices else None
            raise _bad(self.name, f"the model wrote nothing: {refusal or result.finish or 'no reason given'}", result)
        try:
            return result.holding(self.read(result.text))
        except ValueError as error:  # pydantic's and msgspec's errors are ValueErrors
            cut = "it was cut at its limit of tokens, and " if result.finish == "length" else ""
            raise _bad(self.name, f"{cut}{error}", result) from error

    def _headers(self, options: Options, tags: Mapping[str, str]) -> dict[str, str]:
        """The bucket of the task, unless a model was named that stands for another; tags; where data must stay."""
        headers = {"x-baseload-tag-task": self.name, **{f"x-baseload-tag-{name}": tags[name] for name in tags}}
        if "bucket" in options:
            headers["x-baseload-bucket"] = named(options["bucket"]).value
        elif options.get("model", AUTO) == AUTO:
            headers["x-baseload-bucket"] = TASKS[self.name].bucket.value
        if "residency" in options:
            headers["x-baseload-residency"] = options["residency"]
        return headers


def classify(text: str, labels: Labels, instructions: str) -> Task[str]:
    """Which one of the labels fits a text. A mapping says what each label means."""
    meanings = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
    if len(meanings) < 2:
        raise BadInput(f"there are {len(meanings)} labels to choose from", remedy="Give two or more.")
    listed = "\n".join(f"- {label}: {meaning}" if meaning else f"- {label}" for label, meaning in meanings.items())
    system = f"Decide which one of these labels fits the user's text best.\n{listed}"
    return _shaped("classify", system, text, choice_of(meanings), instructions)


def extract(text: str, wanted: type[Any] | Mapping[str, Any], instructions: str) -> Task[Any]:
    """What a text says, in a shape."""
    system = "Extract what the user's text says. Take every value from the text; invent nothing."
    return _shaped("extract", system, text, shape_of(wanted), instructions)


def summarize(text: str, words: int | None, instructions: str) -> Task[str]:
    """A text, shorter."""
    limit = f" in at most {words} words" if words is not None else ""
    return _plain("summarize", f"Summarize the user's text{limit}. Keep its language; add nothing.", text, instructions)


def analyze(text: str, question: str, instructions: str) -> Task[str]:
    """What a text says about a question."""
    system = "Answer the question from the document alone. Where it does not say, say so."
    return _plain("analyze", system, f"Document:\n{text}\n\nQuestion: {question}", instructions)


def generate(prompt: str, instructions: str) -> Task[str]:
    """Whatever a prompt asks for."""
    return _plain("generate", "", prompt, instructions)


def _plain(name: str, system: str, text: str, instructions: str) -> Task[str]:
    return Task(name, _with(system, instructions), text, str)


def _shaped(name: str, system: str, text: str, shape: Shape, instructions: str) -> Task[Any]:
    return Task(name, _with(system, instructions), text, shape.read, shape.response_format)


def _with(system: str, instructions: str) -> str:
    return "\n\n".join(part for part in (system, instructions) if part)


def _bad(task: str, why: str, result: Result[None]) -> BadAnswer:
    remedy = f"Ask a better model (bucket='{Bucket.FLAGSHIP}'), or allow it more tokens; what it wrote is in `result`."
    return BadAnswer(f"{result.model} did not {task} as asked: {why}", remedy=remedy, result=result)
