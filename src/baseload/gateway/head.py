"""The head of a request, and heads that came before. Does no I/O.

A client sends the same head with every request but for the length of its body. So a request that came in one piece
leaves a `Template`: its bytes up to the digits of that length, and from there to the empty line. Bytes that begin like
that mean what llhttp said they mean, and need not be parsed, checked and understood anew. Whoever draws something from
a head alone (its tags, whether it may come in, what goes along upstream) keeps it in the head's `known`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Headers = Sequence[tuple[bytes, bytes]]

REQUEST_ID = b"x-request-id"

MOST_HEADS = 512
"""Heads that are remembered: as many kinds of clients are rarely seen at once."""
MOST_DIGITS = 9
"""Of a length, in decimal: a gigabyte."""

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,9})\r\n", re.IGNORECASE)


class Head:
    """What came before the body. `target` is in origin form (`/path?query`); names of headers are lower case, their
    values as sent. `known` holds what was found out about it, by who found it out."""

    __slots__ = ("headers", "http_1_0", "id", "keep_alive", "known", "method", "path", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        *,
        keep_alive: bool = True,
        http_1_0: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path = target.partition("?")[0]
        self.headers = headers
        self.keep_alive = keep_alive
        self.http_1_0 = http_1_0
        self.id = self.header(REQUEST_ID) or b""
        self.known: dict[str, Any] = {}

    def header(self, name: bytes) -> bytes | None:
        """The first field of that (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Request:
    """One request, whole. Requests with the same head share it. `name` is what the gateway calls it, once it does, and
    `id` what its client does, or else its name."""

    __slots__ = ("body", "head", "id", "name")

    def __init__(self, head: Head, body: bytes = b"") -> None:
        self.head = head
        self.body = body
        self.id = head.id
        self.name = ""

    @property
    def method(self) -> str:
        return self.head.method

    @property
    def target(self) -> str:
        return self.head.target

    @property
    def path(self) -> str:
        return self.head.path

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return self.head.headers

    @property
    def keep_alive(self) -> bool:
        return self.head.keep_alive

    @property
    def http_1_0(self) -> bool:
        return self.head.http_1_0

    def header(self, name: bytes) -> bytes | None:
        """The first field of that (lower-case) name."""
        return self.head.header(name)


class Template:
    """The bytes of a head around the length of the body, and what they mean."""

    __slots__ = ("_after", "_at", "_before", "_reach", "_rest", "head")

    def __init__(self, before: bytes, after: bytes, head: Head) -> None:
        self._before = before
        self._after = after
        self._at, self._rest, self._reach = len(before), len(after), MOST_DIGITS + len(after)
        self.head = head

    def read(self, data: bytes, most: int) -> Request | None:
        """The request that `data` is, whole, with a body of `most` bytes at most; None when it is not, or not just."""
        if not data.startswith(self._before):
            return None
        at = self._at
        end = data.find(self._after, at, at + self._reach)
        digits = data[at:end]
        if end < 0 or not digits.isdigit():
            return None
        start, length = end + self._rest, int(digits)
        if length > most or len(data) != start + length:
            return None
        return Request(self.head, data[start:])


class Heads:
    """Templates of heads that came lately, for every connection of a server."""

    def __init__(self) -> None:
        self._found: dict[tuple[bytes, bytes], Template] = {}

    def remember(self, data: bytes, request: Request, most: int) -> Template | None:
        """The template of a request that `data` is, whole; None where it says no length, or its head may grow over
        `most` bytes with a longer one."""
        size = len(data) - len(request.body)
        found = list(_LENGTH.finditer(data, 0, size))
        if len(found) != 1 or size + MOST_DIGITS > most or int(found[0][1]) != len(request.body):
            return None
        if request.header(b"expect") is not None or not data.endswith(b"\r\n\r\n", 0, size):
            return None
        key = data[: found[0].start(1)], data[found[0].end(1) : size]
        template = self._found.get(key)
        if template is None:
            if len(self._found) >= MOST_HEADS:
                self._found.clear()
            template = self._found[key] = Template(*key, _of_any_length(request.head))
        return template


def _of_any_length(head: Head) -> Head:
    """The head without the length, which is another one each time."""
    headers = [field for field in head.headers if field[0] != b"content-length"]
    return Head(head.method, head.target, headers, keep_alive=head.keep_alive, http_1_0=head.http_1_0)
