"""Any CSV, JSON lines or JSON list whose columns somebody names: `--map field=column`. Pure.

A field that is not mapped is looked for under its own name. A dot reaches into an object: `usage.prompt_tokens`. A
column that is named and stands in no record is an error: what it would have said is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from baseload.errors import BadInput
from baseload.imports.entry import Asked, Entry, Format, Item
from baseload.imports.fields import Row, cost, count, moment, name, tagged, within
from baseload.load.calls import Status
from baseload.load.trace import MOST_TOKENS
from baseload.usage import leaves

FIELDS = {
    "at": "when the request came",
    "id": "its own id; without one, twins of a moment are told apart by their place",
    "ended": "when its answer ended",
    "seconds": "how long it took, where the end is not stated",
    "model": "the model",
    "provider": "who sold it",
    "input_tokens": "all tokens read, cached ones among them",
    "output_tokens": "all tokens written, reasoning among them",
    "cache_read_tokens": "of the tokens read, those out of a cache",
    "cache_write_tokens": "of the tokens read, those written to a cache",
    "reasoning_tokens": "of the tokens written, those thought",
    "usd": "what the log says it cost, in USD",
    "error": "not empty when it failed",
}
TAG = "tag."
_BAD = frozenset({"", "0", "false", "none", "null", "ok", "success", "200"})


def _read(row: Row, asked: Asked) -> Iterator[Item]:
    columns = asked.columns
    unknown = [each for each in columns if each not in FIELDS and not each.startswith(TAG)]
    if unknown:
        raise BadInput(
            f"--map {ascii(unknown[0])[:60]}: there is no such field",
            remedy=f"Use one of {', '.join(FIELDS)}, or tag.NAME.",
        )

    def field(which: str) -> object:
        return within(row, columns.get(which, which))[1]

    written = field("at")
    at_ns = moment(written, columns.get("at", "at"), asked.zone)
    yield Entry(
        id=_text(field("id"), "id"),
        at_ns=at_ns,
        stamp_ns=moment(written, "at"),
        ended_ns=_ended(field, at_ns, asked),
        model=name(field("model"), "model") or asked.model or "unknown",
        provider=name(field("provider"), "provider"),
        usage=leaves(
            prompt=count(field("input_tokens"), "input_tokens", MOST_TOKENS),
            completion=count(field("output_tokens"), "output_tokens", MOST_TOKENS),
            cache_read=count(field("cache_read_tokens"), "cache_read_tokens", MOST_TOKENS),
            cache_write=count(field("cache_write_tokens"), "cache_write_tokens", MOST_TOKENS),
            reasoning=count(field("reasoning_tokens"), "reasoning_tokens", MOST_TOKENS),
        ),
        usd=cost(field("usd"), "usd"),
        status=Status.OK if str(field("error") or "").strip().lower() in _BAD else Status.FAILED,
        tags=tagged({each[len(TAG) :]: _text(field(each), each) for each in columns if each.startswith(TAG)}),
    )


def _text(value: object, what: str) -> str:
    return name(str(value) if isinstance(value, int) else value, what)


def _ended(field: Callable[[str], object], at_ns: int, asked: Asked) -> int:
    ended = field("ended")
    if ended not in (None, ""):
        end_ns = moment(ended, "ended", asked.zone)
        if end_ns < at_ns:
            raise ValueError("it ended before it came")
        return end_ns
    seconds = cost(field("seconds"), "seconds")
    return at_ns if seconds is None else at_ns + int(seconds.scaleb(9))


FORMAT = Format(name="csv", title="any table or JSON lines, by --map", read=_read, mapped=True)
