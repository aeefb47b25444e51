"""An upstream's complaint without what it quotes of the request. Pure.

Providers repeat what they object to, and what they object to is a prompt. Complaints are written into the ledger and
the log, prompts are not; names of fields and short words stay, so that a complaint still says what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

LEAST_QUOTE = 12
"""Characters from which on a text that stands in the request too is a quotation of it."""
MOST_BYTES = 1_000_000
"""Of a longer request nothing is compared; a complaint about it is left out."""
GONE = "[...]"


def unquoted(complaint: str, body: bytes) -> str:
    """A complaint with every stretch that stands in a text of the request taken out.

    >>> unquoted("bad input: my card is 4111-1111", b'{"messages":[{"content":"Hi! my card is 4111-1111."}]}')
    'bad input:[...]'
    >>> unquoted("unknown parameter: reasoning_effort", b'{"reasoning_effort":"high"}')
    'unknown parameter: reasoning_effort'
    """
    if not complaint or not body:
        return complaint
    if len(body) > MOST_BYTES:
        return f"{GONE} (of a long request)"
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return GONE
    if isinstance(document, dict):
        document.pop("model", None)
    return _without(complaint, "\n".join(_texts(document)))


def _without(complaint: str, said: str) -> str:
    """Each stretch from the first to the last character of what is quoted, replaced."""
    kept, at = [], 0
    while at < len(complaint):
        end = at + LEAST_QUOTE
        if len(complaint) - at < LEAST_QUOTE or complaint[at:end] not in said:
            kept.append(complaint[at])
            at += 1
            continue
        while end < len(complaint) and complaint[at : end + 1] in said:
            end += 1
        kept.append(GONE)
        at = end
    return "".join(kept)


def _texts(value: object) -> Iterator[str]:
    """Every text of a document that is long enough to be quoted, names of fields apart. Without recursion: a body may
    be nested as deeply as its reader allows."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, str) and len(found) >= LEAST_QUOTE:
            yield found
