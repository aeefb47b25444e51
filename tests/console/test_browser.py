"""The page in a real browser: it draws under its own content policy, asks no other host, and follows the ledger."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, Request, async_playwright, expect
from tests.console.conftest import traffic

from baseload.console.app import create_app
from baseload.console.source import LedgerSource

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)
# Runs before the page's own scripts, outside its content policy: remembers what the policy stopped.
WATCH = """
window.stopped = [];
document.addEventListener("securitypolicyviolation", (event) => window.stopped.push(event.violatedDirective));
"""
# Pixels are read from a copy: a browser warns who reads a canvas again and again that it draws on.
PIXELS = """
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
"""
COLOURS = f"""(canvas) => {{
  {PIXELS}
  const {{ data }} = context.getImageData(0, 0, copy.width, copy.height);
  return new Set(new Uint32Array(data.buffer)).size;
}}"""
# The legend's text: the brightest opaque pixel right of its first symbol.
BRIGHTEST = f"""(canvas) => {{
  {PIXELS}
  const {{ data }} = context.getImageData(80, 0, 400, 40);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {{
    if (data[at + 3] === 255) found = Math.max(found, Math.min(data[at], data[at + 1], data[at + 2]));
  }}
  return found;
}}"""


@dataclass
class Watched:
    """A page, what it logged, and whom it asked."""

    page: Page
    logged: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def remember(self, request: Request) -> None:
        self.asked.add(str(urlsplit(request.url).hostname))

    async def clean(self) -> None:
        """Nothing was logged, nothing was stopped by the policy, nobody else was asked."""
        assert self.logged == []
        assert await self.page.evaluate("window.stopped") == []
        assert self.asked == {"127.0.0.1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "there is no chromium to test with: install Debian's package `chromium`"
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def _served(source: LedgerSource) -> AsyncIterator[str]:
    """The console on a port of this machine."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(source), log_level="warning", ws="none"))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _opened(chromium: Browser, address: str, **look: object) -> AsyncIterator[Watched]:
    context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **look})
    await context.add_init_script(WATCH)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    watched = Watched(page)
    page.on("console", lambda message: watched.logged.append(message.text))
    page.on("pageerror", lambda error: watched.logged.append(str(error)))
    page.on("request", watched.remember)
    await page.goto(address)
    try:
        yield watched
    finally:
        await context.close()


async def _drawn(page: Page) -> None:
    for chart in ("breakeven", "models"):
        await page.locator(f"#chart-{chart}[data-drawn]").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1280])
async def test_charts_are_drawn_under_the_content_policy(chromium, source, record, scheme, width):
    record(traffic())
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with _served(source) as address, _opened(chromium, address, **look) as watched:
        await _drawn(watched.page)
        for chart in ("breakeven", "models"):
            canvas = watched.page.locator(f"#chart-{chart} canvas")
            box = await canvas.bounding_box()
            assert box["height"] > 100
            assert width * 0.25 < box["width"] <= width
            assert await canvas.evaluate(COLOURS) > 20
        assert await watched.page.evaluate("document.documentElement.scrollWidth") <= width
        paper = await watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) > 384) == (scheme == "light")
        await watched.clean()


async def test_the_policy_really_stops_what_is_inline(chromium, source):
    """The check above can fail: what the policy forbids is stopped, and seen."""
    async with _served(source) as address, _opened(chromium, address) as watched:
        await watched.page.evaluate(
            """() => {
              document.body.insertAdjacentHTML("beforeend", "<p style='color: red'>x</p>");
              const script = document.createElement("script");
              script.textContent = "window.ran = true";
              document.body.append(script);
            }"""
        )
        assert await watched.page.evaluate("window.ran") is None
        stopped = await watched.page.evaluate("window.stopped")
        assert {each.partition("-")[0] for each in stopped} == {"style", "script"}


async def test_a_new_call_appears_without_a_reload(chromium, source, record):
    record(traffic(360))
    async with _served(source) as address, _opened(chromium, address) as watched:
        page = watched.page
        await _drawn(page)
        canvas = page.locator("#chart-breakeven canvas")
        await canvas.evaluate("(canvas) => { canvas.dataset.kept = 'yes'; scrollTo(0, 700); }")
        await page.locator("#table-models caption a").first.focus()
        record(traffic(361))
        await expect(page.locator("#card-requests data")).to_have_text("361")
        await expect(page.locator("#table-traffic tfoot data").first).to_have_text("361")
        await expect(page.locator("#caption-models")).to_contain_text("361 requests")
        await expect(canvas).to_have_attribute("data-kept", "yes")
        assert await page.evaluate("scrollY") == 700
        assert await page.evaluate("document.activeElement.closest('table')?.id") == "table-models"
        await watched.clean()


async def test_an_empty_page_fills_when_the_first_calls_come(chromium, source, record):
    async with _served(source) as address, _opened(chromium, address) as watched:
        await expect(watched.page.get_by_role("heading", level=1)).to_have_text("Nothing metered yet.")
        record(traffic())
        await _drawn(watched.page)
        await expect(watched.page.locator("#card-requests data")).to_have_text("360")
        await watched.clean()


async def test_a_run_is_picked_and_grouped_by_keyboard(chromium, source, record):
    record([*traffic(300, "one"), *traffic(200, "two")])
    async with _served(source) as address, _opened(chromium, address) as watched:
        page = watched.page
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the figures")).to_be_focused()
        await page.get_by_label("run", exact=True).select_option("one")
        await expect(page.locator("#card-requests data")).to_have_text("300")
        await page.get_by_role("link", name="bucket").press("Enter")
        await expect(page.locator("#table-traffic thead th").first).to_have_text("bucket")
        await expect(page.get_by_label("run", exact=True)).to_have_value("one")
        await _drawn(page)
        await watched.clean()


async def test_a_console_that_stops_answering_is_said(chromium, source, record):
    record(traffic(40))
    async with AsyncExitStack() as stack:
        async with _served(source) as address:
            page = (await stack.enter_async_context(_opened(chromium, address))).page
            await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.locator("#connection")).to_have_text("not answering, trying again")
        await expect(page.locator("#card-requests data")).to_have_text("40")


async def test_paper_is_white_whatever_the_screen(chromium, source, record):
    record(traffic())
    async with _served(source) as address, _opened(chromium, address, color_scheme="dark") as watched:
        page = watched.page
        await _drawn(page)
        canvas = page.locator("#chart-breakeven canvas")
        assert await canvas.evaluate(BRIGHTEST) > 200
        await page.emulate_media(media="print")
        await expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
        async with asyncio.timeout(PATIENCE_MS / 1_000):
            while await canvas.evaluate(BRIGHTEST) > 200:  # noqa: ASYNC110 - it is the browser that repaints
                await asyncio.sleep(0.02)
        await expect(page.locator("#connection")).to_be_hidden()
        await watched.clean()


async def test_a_picture_is_described_in_words(chromium, source, record):
    record(traffic())
    async with _served(source) as address, _opened(chromium, address) as watched:
        await _drawn(watched.page)
        for picture in await watched.page.get_by_role("img").all():
            assert await picture.get_attribute("aria-label") or await picture.get_attribute("alt") == ""
        assert await watched.page.get_by_role("main").count() == 1
        assert await watched.page.locator("table:not(:has(caption))").count() == 0
        assert await watched.page.get_by_role("heading", level=1).count() == 1
