"""A browser's page that fails the test for what a reader would not see: errors, refused things, strangers' servers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

DESKTOP = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}
_AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Screen:
    """One window of a reader.

    Attributes:
        page: Playwright's.
        site: where the dashboard is.
        forgiven: patterns of complaints that the test brings about on purpose.

    """

    page: Page
    site: str
    context: BrowserContext
    folder: Path
    complaints: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    @classmethod
    async def open(
        cls, browser: Browser, site: str, folder: Path, *, phone: bool = False, dark: bool = False, **more: Any
    ) -> Screen:
        """A new window: of a desktop or a phone, in light or dark."""
        context = await browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            is_mobile=phone,
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
            **more,
        )
        context.set_default_timeout(20_000)
        screen = cls(await context.new_page(), site, context, folder)
        screen.page.on("console", screen._heard)
        screen.page.on("pageerror", lambda error: screen.complaints.append(f"error: {error}"))
        screen.page.on("request", screen._asked)
        return screen

    async def close(self) -> None:
        """Leave, and fail where there was anything to complain of."""
        await self.context.close()
        wrong = [one for one in self.complaints if not any(re.search(pattern, one) for pattern in self.forgiven)]
        assert not wrong, "\n".join(wrong)

    async def go(self, path: str) -> None:
        """Open a page of the dashboard."""
        await self.page.goto(self.site + path)

    async def shot(self, name: str) -> None:
        """Keep a picture of the whole page: build output, for people."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    async def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is, one line each."""
        results = await Axe().run(self.page, options={"runOnly": {"type": "tag", "values": _AXE_TAGS}})
        return [
            f"{found['id']}: {node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()})"
            for found in results.response["violations"]
            for node in found["nodes"]
        ]

    async def overflows(self) -> int:
        """By how many pixels the page is wider than its window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(await self.page.evaluate(script))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console {message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme != "data" and not request.url.startswith(self.site + "/"):
            self.complaints.append(f"left the host: {request.url}")
