"""The JSON of a document of which all is known but a few values: written once for very many documents. Pure.

A form is made from a document like any other, with blanks for what is not known yet. So it has whatever its type has,
in the same order, and filled in it is what encoding the document would have given.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_encode = msgspec.json.Encoder().encode


def form(document: object, blanks: Iterable[tuple[bytes, bytes, int]]) -> bytes | None:
    """A document's JSON as a pattern for `%`. Each blank is bytes that stand for what is not known, what `%` puts in
    their place, and how often they stand; None where they stand another number of times: then they are no blank.

    >>> form({"n": 777, "share": "5%"}, [(b"777", b"%d", 1)])
    b'{"n":%d,"share":"5%%"}'
    """
    text = _encode(document)
    for blank, _, times in blanks:
        if text.count(blank) != times:
            return None
    text = text.replace(b"%", b"%%")
    for blank, filled, _ in blanks:
        text = text.replace(blank, filled)
    return text
