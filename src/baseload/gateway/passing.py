"""An answer that is passed on as it comes, unread: what the control plane says, and what is said of kept objects. Acts.

What is metered goes another way (`relaying.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from baseload.gateway.http import Exchange
from baseload.gateway.upstream import Answer, AttemptFailed

Head = Callable[[Answer], Sequence[tuple[bytes, bytes]]]
"""The headers that go with an answer."""


async def pass_on(sending: Awaitable[Answer], exchange: Exchange, head: Head) -> None:
    """Pass an answer on. One that breaks is broken for the client too; raises AttemptFailed when the client has had
    nothing yet and can be told."""
    try:
        with await sending as answer:
            await relay(answer, exchange, head)
    except AttemptFailed:
        if not exchange.started:
            raise
        exchange.abort()


async def relay(answer: Answer, exchange: Exchange, head: Head) -> None:
    """Pass on an answer whose head has come. Raises AttemptFailed when it breaks."""
    await exchange.start(answer.status, list(head(answer)))
    while data := await answer.next():
        await exchange.send(data)
    await exchange.end()
