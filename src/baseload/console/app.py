"""The console as a Starlette application: routes, assets, headers. Acts (serves what a source hands it).

Nothing here knows the ledger: `create_app` takes a `Source`, which answers with a frozen `Figures`.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from baseload.console.pages import Pages, Source
from baseload.errors import BadInput, BaseloadError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE = Path(__file__).parent
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
IMMUTABLE = "public, max-age=31536000, immutable"


def create_app(source: Source) -> Starlette:
    """The console over a source of figures."""
    assets = f"/assets/{_digest(HERE / 'static', HERE / 'charts')}"
    pages = Pages(source, assets)
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/live", pages.live),
            Route("/llms.txt", pages.llms),
            Route("/tables/{name}.{form}", pages.table),
            Route("/charts/{name}.{form}", pages.chart),
            Mount(f"{assets}/charts", StaticFiles(directory=HERE / "charts")),
            Mount(assets, StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(GZipMiddleware, minimum_size=1_024, compresslevel=5)],
        exception_handlers={BaseloadError: _refuse, Exception: _fail},
    )


class SecurityHeaders:
    """Puts the security headers on every answer, whoever made it.

    The address of an asset changes with its content, so a browser may keep it for ever; everything else is fresh.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                asset = scope["path"].startswith("/assets/") and message["status"] == 200
                headers["cache-control"] = IMMUTABLE if asset else "no-store"
            await send(message)

        await self._app(scope, receive, guarded)


def _digest(*folders: Path) -> str:
    """A short name for the content of the assets."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


async def _refuse(_: Request, error: Exception) -> Response:
    """What was asked cannot be answered: say why and what to do."""
    return PlainTextResponse(f"{error}\n", status_code=400 if isinstance(error, BadInput) else 503)


async def _fail(_: Request, error: Exception) -> Response:
    """The outermost edge: an error of ours is logged, and answered without its inside."""
    logging.getLogger(__name__).error("the console could not answer", exc_info=error)
    return PlainTextResponse("the console failed to answer; its log says why\n", status_code=500, headers=HEADERS)
