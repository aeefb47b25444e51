"""What each address of the console answers with. Acts (renders; asks a source for figures)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol, TypeVar

import jinja2
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from baseload.console import words
from baseload.console.figures import DIMENSIONS, Figures
from baseload.console.graphs import Chart
from baseload.console.tables import Table
from baseload.errors import BadInput

# Seconds that a reader waits for the dear part of a first page, and a program for the table it asked for.
_GLANCE, _ANSWER = 1.0, 60.0
_JSON = msgspec.json.Encoder(decimal_format="number")
_CSV = "text/csv; charset=utf-8; header=present"
_TABLES = ("models", "options", "crossings", "traffic", "decisions")
_CHARTS = ("breakeven", "models")
_Shape = TypeVar("_Shape", Table, Chart)


class Source(Protocol):
    """Gives the figures of a run (None: the one to show first, empty: every call) grouped by a dimension.

    It may take up to `patience` seconds when it has nothing yet, and must not block the event loop.
    """

    async def figures(self, run: str | None, by: str, patience: float) -> Figures: ...


class Pages:
    """The request handlers; `assets` is the address the static files live under."""

    def __init__(self, source: Source, assets: str) -> None:
        self._source = source
        self._assets = assets
        self._templates = _environment()

    async def index(self, request: Request) -> Response:
        """The page; for a run that is not there, one that leads to those that are."""
        figures = await self._asked(request, _GLANCE)
        if figures.missing:
            return self._render("missing.html", request, figures, status=404)
        return self._render("page.html", request, figures)

    async def live(self, request: Request) -> Response:
        """The inside of the page for a reader who has seen version `seen`; nothing when nothing changed."""
        figures = await self._figures(request, 0.0)
        if request.query_params.get("seen") == figures.version:
            return Response(status_code=204)
        return self._render("live.html", request, figures)

    async def table(self, request: Request) -> Response:
        """One table as JSON or CSV."""
        figures = await self._figures(request, _ANSWER)
        table = _pick(figures.tables, request.path_params["name"], _TABLES, figures.pending)
        return _written(table, table.document(), request)

    async def chart(self, request: Request) -> Response:
        """One chart's rows as JSON or CSV."""
        figures = await self._figures(request, _ANSWER)
        chart = _pick(figures.charts, request.path_params["name"], _CHARTS, figures.pending)
        return _written(chart, chart.document(f"{self._assets}/charts/{chart.name}.vl.json"), request)

    async def llms(self, request: Request) -> Response:
        """Where a reading machine finds the figures."""
        figures = await self._figures(request, 0.0)
        text = self._templates.get_template("llms.txt").render(figures=figures, tables=_TABLES, charts=_CHARTS)
        return PlainTextResponse(text)

    async def _figures(self, request: Request, patience: float) -> Figures:
        figures = await self._asked(request, patience)
        if figures.missing:
            known = f"there are {', '.join(figures.runs)}" if figures.runs else "no run is metered yet"
            raise HTTPException(404, f"there is no run {figures.run!r}; {known}")
        return figures

    async def _asked(self, request: Request, patience: float) -> Figures:
        by = request.query_params.get("by") or DIMENSIONS[0]
        if by not in DIMENSIONS:
            raise BadInput(f"cannot group by {by!r}", remedy=f"Use by= one of {', '.join(DIMENSIONS)}.")
        return await self._source.figures(request.query_params.get("run"), by, patience)

    def _render(self, template: str, request: Request, figures: Figures, *, status: int = 200) -> Response:
        text = self._templates.get_template(template).render(
            figures=figures,
            assets=self._assets,
            query=figures.query,
            origin=f"http://{request.headers.get('host', '')}",
        )
        return HTMLResponse(text, status)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words.count, words.short, words.money, words.dollars, words.percent)
    environment.filters |= {each.__name__: each for each in filters}
    environment.filters["exact"] = _exact
    return environment


def _exact(figure: Decimal | int) -> str:
    """All digits, no separators, no exponent: what a program reads."""
    return f"{figure:f}" if isinstance(figure, Decimal) else str(figure)


def _pick(known: Mapping[str, _Shape], name: str, names: tuple[str, ...], pending: str) -> _Shape:
    """The named table or chart. 404 when there is no such name, 503 while it is still being worked out."""
    if name in known:
        return known[name]
    if name in names:
        raise HTTPException(503, f"{name} is not ready: {pending or 'nothing is metered yet'}", {"retry-after": "5"})
    raise HTTPException(404, f"there is no {name!r}; there are {', '.join(names)}")


def _written(shape: Table | Chart, document: object, request: Request) -> Response:
    form = request.path_params["form"]
    if form == "json":
        return Response(_JSON.encode(document), media_type="application/json")
    if form == "csv":
        return Response(shape.csv(), headers={"content-type": _CSV})
    raise BadInput(f"{shape.name}.{form} is not written", remedy="Ask for .json or .csv.")
