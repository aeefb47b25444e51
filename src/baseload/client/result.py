"""What a task gives back: the answer, what it consumed and cost, who gave it and which decision sent it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Generic, TypeVar

from baseload.errors import BaseloadError
from baseload.usage import Usage
from baseload.wire.answer import read_answer

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

Value = TypeVar("Value")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Result(Generic[Value]):
    """The `value` of a task, and the `text` that the model wrote for it.

    `usage` is what was consumed, None when nobody said. `cost_usd` is what the gateway charged for all attempts, exact,
    None when a price is unknown. `model` is the one that answered, at `upstream` by `route`; `decision_id` names the
    decision in the ledger. `finish` is the model's reason to stop (`length`: it was cut). `raw` is the whole answer.
    """

    value: Value
    text: str
    usage: Usage | None
    cost_usd: Decimal | None
    model: str
    upstream: str
    route: str
    decision_id: str
    finish: str
    raw: ChatCompletion

    def holding(self, value: Other) -> Result[Other]:
        """The same with another value."""
        return Result(
            value=value,
            text=self.text,
            usage=self.usage,
            cost_usd=self.cost_usd,
            model=self.model,
            upstream=self.upstream,
            route=self.route,
            decision_id=self.decision_id,
            finish=self.finish,
            raw=self.raw,
        )


class BadAnswer(BaseloadError):
    """A model answered, but not what the task asks for. `result` holds what it wrote and what that cost."""

    def __init__(self, message: str, *, remedy: str, result: Result[None]) -> None:
        super().__init__(message, remedy=remedy)
        self.result = result


def received(headers: Mapping[str, str], body: bytes, raw: ChatCompletion) -> Result[None]:
    """A whole answer of the gateway, before anybody has looked whether it fits the task."""
    choice = raw.choices[0] if raw.choices else None
    found = read_answer(body)
    return Result(
        value=None,
        text=(choice.message.content or "") if choice is not None else "",
        usage=found.usage if found is not None else None,
        cost_usd=_usd(headers.get("x-baseload-cost-usd", "")),
        model=headers.get("x-baseload-model") or raw.model,
        upstream=headers.get("x-baseload-upstream", ""),
        route=headers.get("x-baseload-route", ""),
        decision_id=headers.get("x-baseload-decision-id", ""),
        finish=(choice.finish_reason or "") if choice is not None else "",
        raw=raw,
    )


def _usd(said: str) -> Decimal | None:
    """Exact USD; None for `unknown`, and where nothing is said.

    >>> _usd("0.00038"), _usd("unknown"), _usd("")
    (Decimal('0.00038'), None, None)
    """
    try:
        found = Decimal(said)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
