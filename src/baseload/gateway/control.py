"""Everything that is not the data plane goes to the control plane: one client for its socket, one relay. Acts."""

from __future__ import annotations

from pathlib import Path

from baseload.gateway.http import JSON, Exchange, Request
from baseload.gateway.passing import pass_on
from baseload.gateway.request import Headers
from baseload.gateway.upstream import AttemptFailed, Client
from baseload.settings import Timeouts
from baseload.wire.problem import problem

# A console page may hold its event stream open for as long as somebody looks at it.
_TIMEOUTS = Timeouts(connect=2.0, first_byte=60.0, idle=3_600.0)

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"date",
    )
)


class ControlPlane:
    """Forwards requests to the console on a unix socket, streaming what it answers."""

    def __init__(self, socket: Path) -> None:
        self._client = Client("http://control", _TIMEOUTS, unix=socket)

    async def forward(self, request: Request, exchange: Exchange) -> None:
        """Relay one request and its answer. An answer that breaks is broken for the client too."""
        host = request.header(b"host") or b""
        headers = [field for field in _end_to_end(request.headers) if field[0] not in (b"host", b"content-length")]
        sending = self._client.send(request.method, request.target, headers, request.body, host=host)
        try:
            await pass_on(sending, exchange, lambda answer: _end_to_end(answer.headers))
        except AttemptFailed as failure:
            message = f"The console does not answer ({failure.message}). The gateway serves /v1."
            message += " Ask again in a moment: a console that died is started anew."
            body = problem(message, code="no_console", kind="server_error")
            await exchange.respond(504 if failure.timed_out else 502, [JSON], body)

    def close(self) -> None:
        self._client.close()


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Without the fields that are about one connection, and those a Connection field names."""
    named = {option.strip().lower() for name, value in headers if name == b"connection" for option in value.split(b",")}
    return [(name, value) for name, value in headers if name not in _HOP_BY_HOP and name not in named]
