"""How many tokens a message would be: asked of the upstream that would serve it, else estimated. Acts (a relay).

Counting is free where it is offered, so it is no call and nothing is metered. An upstream that cannot count, or does
not answer, leaves our own estimate, and a header that says so.
"""

from __future__ import annotations

import msgspec

from baseload.errors import BadInput
from baseload.gateway import answers
from baseload.gateway.asking import along
from baseload.gateway.ending import succeeds
from baseload.gateway.http import JSON, Exchange
from baseload.gateway.job import Job
from baseload.gateway.upstream import AttemptFailed
from baseload.load.facts import Operation
from baseload.wire.anthropic import told
from baseload.wire.passages import passage

EVIDENCE = b"x-baseload-evidence"


class _Count(msgspec.Struct):
    input_tokens: int


async def count(job: Job, exchange: Exchange) -> None:
    """Answer a request to count tokens."""
    found = await _asked(job)
    ours = [JSON, *answers.identified([], job.request), (EVIDENCE, b"estimated" if found is None else b"reported")]
    body = told(job.asked) if found is None else found
    await exchange.respond(200, ours, body)


async def _asked(job: Job) -> bytes | None:
    """What the upstream of the first route says; None when it cannot count or does not."""
    first = job.snapshot.routes[job.record.decision.routes[0].route] if job.record.decision.routes else None
    if first is None:
        return None
    target = job.snapshot.targets[first.upstream]
    if Operation.COUNT_TOKENS not in target.upstream.serves:
        return None
    try:
        over = passage(job.asked, target.upstream.dialect, target.upstream.serves)
        if over is None:
            return None
        sending = target.send(
            over.path,
            along(job.request, over.headers),
            over.body(first.model),
            within=job.left(),
        )
        with await sending as answer:
            body = await answer.read() if succeeds(answer.status) else b""
        return body if msgspec.json.decode(body, type=_Count) else None
    except (AttemptFailed, BadInput, msgspec.DecodeError, UnicodeDecodeError):
        return None
