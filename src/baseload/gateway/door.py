"""Who is let in at all: no page of another site, no name that is not ours, no body that is not JSON. No I/O.

A web page can make its visitor's browser send requests to this machine. It is told apart by its `Origin`; where its own
name was pointed at this machine (DNS rebinding) by its `Host`; and a form or a plain fetch by its content type, which a
page may not set to JSON without asking first. Programs send neither an `Origin` nor a foreign `Host`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from baseload.gateway.keys import is_loopback
from baseload.gateway.refusals import Refused
from baseload.gateway.request import Request
from baseload.settings import Settings

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_JSON = (b"application/json", b"+json")


class Door:
    """Lets requests in, or says why not."""

    def __init__(self, settings: Settings) -> None:
        host, _ = settings.address
        self._names = frozenset(_lower((*_ALWAYS, host, *settings.hosts))) if is_loopback(host) else None

    def obstacle(self, request: Request) -> Refused | None:
        """Why a request is not let in; None when it is."""
        known = request.head.known
        if known.get("door") is self:
            return None
        found = self._obstacle(request)
        if found is None and request.body:  # without one, nothing was asked of its type
            known["door"] = self
        return found

    def _obstacle(self, request: Request) -> Refused | None:
        host = request.header(b"host")
        if self._names is not None and host is not None and _name(host) not in self._names:
            return _unknown_host(host, self._names)
        origin = request.header(b"origin")
        if origin is not None and origin.rpartition(b"://")[2].lower() != (host or b"").lower():
            return _foreign()
        if request.body and request.path.startswith("/v1/") and not _is_json(request):
            return _not_json()
        return None


def _is_json(request: Request) -> bool:
    """Whether a body says that it is JSON. One that says nothing may be: it is read as JSON and nothing else."""
    kind = request.header(b"content-type")
    return kind is None or kind == _JSON[0] or kind.partition(b";")[0].strip().lower().endswith(_JSON)


@lru_cache(maxsize=1_024)
def _name(host: bytes) -> str:
    """The name in a Host field, without its port.

    >>> _name(b"LocalHost:8790"), _name(b"[::1]:8790"), _name(b"127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    text = host.decode("latin-1").lower()
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _lower(names: Iterable[str]) -> Iterable[str]:
    return (name.lower().strip("[]") for name in names)


def _unknown_host(host: bytes, names: frozenset[str]) -> Refused:
    said = host[:200].decode("latin-1")
    message = (
        f"{said!r} is not a name of this gateway, which listens for its own machine alone. Ask for one of "
        f"{', '.join(sorted(names))}, or add the name to `hosts` in the configuration."
    )
    return Refused(status=421, message=message, code="unknown_host")


def _foreign() -> Refused:
    message = "This page is not served from here and may not spend through this gateway. Call it from a program."
    return Refused(status=403, message=message, code="foreign_origin")


def _not_json() -> Refused:
    message = "The body does not say that it is JSON. Send `content-type: application/json`."
    return Refused(status=415, message=message, code="unsupported_media_type")
