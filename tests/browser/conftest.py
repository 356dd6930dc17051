"""A real browser before the tracers' pages of a small town."""

import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import debian
from town import NAME, PASSWORD, Town


def _chromium() -> str:
    """Debian's Chromium."""
    return debian.program("chromium", "chromium", "chromium-browser", "google-chrome")


class Site:
    """The town's server on a port, and a browser that may open it."""

    def __init__(self, town: Town, url: str, browser: Browser) -> None:
        self.town = town
        self.url = url
        self.browser = browser
        self.state: Path | None = None

    def context(
        self, language: str = "vi", logged_in: bool = True, **more: object
    ) -> BrowserContext:
        """A fresh browser profile of a reader of a language."""
        values: dict[str, object] = {
            "base_url": self.url,
            "locale": {"vi": "vi-VN", "en": "en-GB"}[language],
            "viewport": {"width": 1280, "height": 900},
        }
        made = self.browser.new_context(**(values | more))  # type: ignore[arg-type]
        # A busy computer takes its time; these are for what never comes.
        made.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        if logged_in:
            made.add_cookies(self._cookies)
        return made

    def log_in(self, page: Page) -> None:
        """Fill in the login form that a page shows."""
        page.fill("#name", NAME)
        page.fill("#password", PASSWORD)
        page.fill("#code", self.town.code())
        page.click("main button")
        page.wait_for_url("**/tracer/")

    def begin(self) -> None:
        """Log in once for all tests that begin logged in, and declare the case."""
        with self.context(logged_in=False) as context:
            page = context.new_page()
            page.goto("/tracer/")
            self.log_in(page)
            self._cookies = context.cookies()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """The running server and the browser."""
    path = _chromium()
    town = Town(tmp_path_factory.mktemp("town"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(town.app, host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    with sync_playwright() as playwright:
        # A container has no sandbox of its own to give, and little shared memory.
        words = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=words)
        made = Site(town, f"http://127.0.0.1:{port}", browser)
        made.begin()
        yield made
        browser.close()
    server.should_exit = True
    thread.join(10)
