"""Faults on demand: a simulated upstream fails as it is told, and the same way every time. Pure.

The header `x-simulate` names them, or the model does behind a plus (`gpt-5-mini+cut=2`), separated by commas:

| fault | what happens |
|---|---|
| `400`, `401`, `404`, `429`, `500`, `503`, `529` ... | that status; `429=7` with a `retry-after` of 7 s |
| `slow=0.5` | that many seconds pass before the answer begins |
| `hang` | the answer never begins; `hang=2` never goes on after two events of a stream |
| `cut` | the connection breaks inside the answer; `cut=2` after two events of a stream |
| `reset` | the connection breaks before the answer |
| `garbage` | an answer that is not JSON, or events that are not |
| `no-usage` | an answer that does not say what it consumed |
| `error` | a success by its status that holds an error; in a stream, an error after the first event |
| `@3` behind any of them | only the first three requests |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

HEADER = b"x-simulate"
_FAULT = re.compile(r"(?P<name>[a-z-]+|[0-9]{3})(?:=(?P<value>[0-9]+(?:\.[0-9]+)?))?(?:@(?P<first>[0-9]+))?")
_NAMES = frozenset(("slow", "hang", "cut", "reset", "garbage", "no-usage", "error"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is to go wrong with one request. Events are counted from one; None stands for never."""

    status: int | None = None
    retry_after: float | None = None
    slow_seconds: float = 0.0
    hang_after: int | None = None
    cut_after: int | None = None
    reset: bool = False
    garbage: bool = False
    no_usage: bool = False
    error: bool = False


NONE = Faults()


def read(text: str, number: int) -> Faults:
    """The faults that a text names, for the `number`th request. Raises ValueError on one that is not known.

    >>> read("slow=0.5,cut=2", 1).cut_after
    2
    >>> read("500@3", 4) == NONE
    True
    """
    found: dict[str, object] = {}
    for each in filter(None, text.replace(" ", "").split(",")):
        match = _FAULT.fullmatch(each)
        if match is None or not (match["name"].isdigit() or match["name"] in _NAMES):
            raise ValueError(f"{each!r} is no fault. Known are a status and {', '.join(sorted(_NAMES))}")
        if match["first"] is None or number <= int(match["first"]):
            found |= _fault(match["name"], float(match["value"]) if match["value"] else None)
    return Faults(**found)  # type: ignore[arg-type]  # each name has its own type, and `_fault` keeps to it


def _fault(name: str, value: float | None) -> dict[str, object]:
    if name.isdigit():
        status = int(name)
        if not HTTPStatus.BAD_REQUEST <= status < 600:
            raise ValueError(f"{name} is not the status of a refusal")
        return {"status": status, "retry_after": value}
    if name == "slow":
        return {"slow_seconds": value if value is not None else 1.0}
    if name in ("hang", "cut"):
        return {f"{name}_after": int(value or 0)}
    return {name.replace("-", "_"): True}
