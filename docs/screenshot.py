"""Takes the picture of the console that the README shows. Acts (drives a headless Chromium).

.venv/bin/baseload demo
.venv/bin/python docs/screenshot.py http://127.0.0.1:8790/ docs/console.png
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def take(address: str, path: str, scheme: str = "light", width: int = 1280, height: int = 1180) -> None:
    """Write what a browser shows once both charts are drawn."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(
            color_scheme=scheme, viewport={"width": width, "height": height}, device_scale_factor=1.5
        )
        page.goto(address)
        for chart in ("breakeven", "models"):
            page.locator(f"#chart-{chart}[data-drawn]").wait_for()
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    take(*sys.argv[1:4])
