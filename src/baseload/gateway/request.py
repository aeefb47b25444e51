"""From bytes to requests: a strict HTTP/1.1 reader that holds no socket. Does no I/O.

llhttp (through httptools) parses every byte, with no leniency switched on. What llhttp lets pass and a gateway must not
(two Hosts, a Transfer-Encoding that is not plainly `chunked`, an upgrade, heads and bodies beyond the limits) is
refused here. After a refusal, and after a request that closes its connection, nothing more is read.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

import httptools
import msgspec

from baseload.gateway.head import Head, Headers, Heads, Request, Template
from baseload.settings import Limits

__all__ = ["Head", "Headers", "Heads", "Phase", "Refusal", "Request", "RequestReader", "Room"]

_NO_UPGRADE = "Protocol upgrades are not served here. Send plain HTTP/1.1."


class Room:
    """What all bodies together may take: bytes that are held, of `limit` at most."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, size: int) -> bool:
        """Hold so many bytes more; False when there is no room for them."""
        if self.held + size > self.limit:
            return False
        self.held += size
        return True

    def give(self, size: int) -> None:
        """Let go of so many bytes."""
        self.held -= size


class Refusal(msgspec.Struct, frozen=True):
    """The answer to something that did not become a Request. The connection ends with it."""

    status: int
    message: str
    code: str
    path: str = ""


class Phase(IntEnum):
    """What the next byte would belong to."""

    BETWEEN = 0
    HEAD = 1
    BODY = 2


_BETWEEN = Phase.BETWEEN


class _Stop(Exception):
    """Raised in a parser's callback after a refusal, so that the parser stops."""


class RequestReader:
    """Feed it bytes as they come; whole requests and the one refusal that may end them line up in `ready`.

    What a body takes of `room` is given back by whoever answers its request. A request that came in one piece with a
    head that came before is not parsed again: `heads` remembers what llhttp made of it.
    """

    def __init__(self, limits: Limits, room: Room | None = None, heads: Heads | None = None) -> None:
        self.ready: deque[Request | Refusal] = deque()
        self.phase = Phase.BETWEEN
        self.begun = 0  # requests whose first byte was seen
        self.deaf = False  # nothing that still comes is read
        self.wants_continue = False  # the client waits to be asked for its body
        self._limits = limits
        self._room = room if room is not None else Room(limits.bodies_bytes)
        self._heads = heads if heads is not None else Heads()
        self._template: Template | None = None  # the head that this client sent last
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._head_fed = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._body_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of bodies that came and were not taken yet."""
        return len(self._body) + sum(len(item.body) for item in self.ready if isinstance(item, Request))

    def feed(self, data: bytes) -> None:
        """Read what came from the client. Never raises: what cannot be read becomes a refusal."""
        if self.deaf or self._parser is None:
            return
        whole = self.phase is _BETWEEN
        if whole and self._template is not None:
            known = self._template.read(data, self._limits.body_bytes)
            if known is not None and self._room.take(len(known.body)):
                self.begun += 1
                self.ready.append(known)
                return
        begun, waiting = self.begun, len(self.ready)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.refuse(501, _NO_UPGRADE, "upgrade")
        except httptools.HttpParserError as error:
            # A refusal has made the reader deaf already, and so has a request that said it was the last.
            self.refuse(400, f"This is not a valid HTTP/1.1 request: {error or 'malformed'}. Mend it.", "bad_http")
        if self.phase is Phase.HEAD and self.begun == begun:  # an unfinished field is not in `_headers` yet
            self._head_fed += len(data)
            if self._head_fed > self._limits.head_bytes:
                self._refuse_head()
        if whole and self.begun == begun + 1 and len(self.ready) == waiting + 1:
            self._remember(data)

    def _remember(self, data: bytes) -> None:
        """A request came in one piece: the next one may begin with the same bytes."""
        request = self.ready[-1]
        if isinstance(request, Request) and not self.deaf and self.phase is Phase.BETWEEN:
            self._template = self._heads.remember(data, request, self._limits.head_bytes)
            if self._template is not None:
                self.ready[-1] = Request(self._template.head, request.body)

    def refuse(self, status: int, message: str, code: str) -> None:
        """Line up a refusal behind the requests that came whole, and read nothing more."""
        if not self.deaf:
            self.deaf = True
            self.phase = Phase.BETWEEN
            self.wants_continue = False
            self._drop()
            self.ready.append(Refusal(status, message, code, _origin_form(self._url).partition("?")[0]))

    def close(self) -> None:
        """Let go of the parser (it and the reader hold each other), and of what nobody will answer."""
        self.deaf = True
        self._parser = None
        self._drop()
        self._room.give(sum(len(item.body) for item in self.ready if isinstance(item, Request)))
        self.ready.clear()

    def _drop(self) -> None:
        """Forget the body that was being read."""
        self._room.give(len(self._body))
        self._body = bytearray()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self.phase = Phase.HEAD
        self.begun += 1
        self._head_fed = self._body_bytes = 0
        self._url = b""
        self._headers = []
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.BODY:  # a trailer field: dropped, but it counts
            self._count(len(name) + len(value))
            return
        self._headers.append((name.lower(), value))
        if len(self._headers) > self._limits.head_fields:
            self._refuse_head()
            raise _Stop

    def on_headers_complete(self) -> None:
        self.phase = Phase.BODY
        if self._parser is not None:
            self._check_head(self._parser.get_http_version(), self._parser.should_upgrade())
        if self.deaf:
            raise _Stop

    def on_body(self, body: bytes) -> None:
        self._count(len(body))
        if not self._room.take(len(body)):
            message = "The gateway holds as much as it may of requests under way. Send this one again in a moment."
            self.refuse(503, message, "busy")
            raise _Stop
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser is None or self.deaf:
            return
        self.phase = Phase.BETWEEN
        self.wants_continue = False
        keep_alive = self._parser.should_keep_alive()
        body, self._body = bytes(self._body), bytearray()
        old = self._parser.get_http_version() == "1.0"
        method, target = self._parser.get_method().decode(), _origin_form(self._url)
        self.ready.append(Request(Head(method, target, self._headers, keep_alive=keep_alive, http_1_0=old), body))
        self.deaf = not keep_alive

    # What forbids a head or a body.

    def _check_head(self, version: str, upgrade: bool) -> None:
        size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
        if size > self._limits.head_bytes:
            self._refuse_head()
        elif version not in ("1.0", "1.1"):
            self.refuse(505, f"HTTP/{version} is not served here. Send HTTP/1.1.", "http_version")
        elif upgrade:
            self.refuse(501, _NO_UPGRADE, "upgrade")
        else:
            self._check_fields(version)

    def _check_fields(self, version: str) -> None:
        fields: dict[bytes, list[bytes]] = {b"host": [], b"transfer-encoding": [], b"content-length": [], b"expect": []}
        for name, value in self._headers:
            if name in fields:
                fields[name].append(value)
        obstacle = _framing_obstacle(fields, version)
        if obstacle is not None:
            self.refuse(*obstacle)
        elif sum(int(length) for length in fields[b"content-length"]) > self._limits.body_bytes:
            self._refuse_body()
        elif fields[b"expect"] and version == "1.1":
            if fields[b"expect"] == [b"100-continue"]:
                self.wants_continue = True
            else:
                self.refuse(417, "Only `Expect: 100-continue` can be met. Leave the field out.", "expect")

    def _count(self, received: int) -> None:
        self._body_bytes += received
        if self._body_bytes > self._limits.body_bytes:
            self._refuse_body()
            raise _Stop

    def _refuse_head(self) -> None:
        limits = self._limits
        message = f"The head is over {limits.head_bytes} bytes or {limits.head_fields} fields. Send fewer headers."
        self.refuse(431, message, "head_too_large")

    def _refuse_body(self) -> None:
        message = f"The body is over {self._limits.body_bytes} bytes. Send less, or raise limits.body_bytes."
        self.refuse(413, message, "body_too_large")


def _framing_obstacle(fields: dict[bytes, list[bytes]], version: str) -> tuple[int, str, str] | None:
    """Where two readers of the same bytes could disagree on where a request ends or whom it is for."""
    hosts, codings, lengths = fields[b"host"], fields[b"transfer-encoding"], fields[b"content-length"]
    if len(hosts) > 1:
        return 400, "The request has more than one Host. Send one.", "bad_host"
    if not hosts and version == "1.1":
        return 400, "An HTTP/1.1 request needs a Host. Send one.", "bad_host"
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked" or lengths or version == "1.0"):
        return 400, "Transfer-Encoding may only be `chunked`, once, without Content-Length.", "bad_framing"
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        return 400, "Content-Length must be one decimal number. Send it once.", "bad_framing"
    return None


def _origin_form(url: bytes) -> str:
    """`http://host/path?query`, as a proxy is asked, becomes `/path?query`.

    >>> _origin_form(b"http://gateway/v1/models?limit=1")
    '/v1/models?limit=1'
    """
    target = url.decode("latin-1")
    if target.startswith(("http://", "https://")):
        return "/" + target.partition("://")[2].partition("/")[2]
    return target
