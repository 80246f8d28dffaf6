"""Chromium as tests drive it: one browser, a window per person, theme and width."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.chromium import MISSING, chromium_path

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE_MS = 240_000  # a loaded machine is slow, also at training six models; a broken page stays broken
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def open_browser() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        raise FileNotFoundError(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_context(
    browser: Browser, *, width: int = 1440, height: int = 900, theme: str = "light", script: bool = True
) -> BrowserContext:
    """Make a fresh person's window; `script` False is a browser without JavaScript."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    return context


@contextmanager
def open_window(browser: Browser, cookies: Sequence[Any] = (), **options: Any) -> Iterator[Page]:
    """Open a page of its own, signed in by the cookies if there are any; options as `open_context`."""
    context = open_context(browser, **options)
    try:
        context.add_cookies(list(cookies))
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, link: str) -> None:
    """Follow a one-time link and press its button."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def refusals(page: Page) -> list[str]:
    """Collect what the Content-Security-Policy refuses and what fails in scripts, from now on."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            found.append(message.text)
            if "Content Security Policy" in message.text or message.text.startswith("chart")
            else None
        ),
    )
    return found


def settle_charts(page: Page) -> None:
    """Wait until what the page fetches at once is there and every chart of it is drawn.

    The policy forbids Playwright's wait_for_function.
    """
    ends_at = time.monotonic() + PATIENCE_MS / 1000
    drawn = """!document.querySelector('main [hx-trigger=load]')
        && [...document.querySelectorAll('[data-chart]')].every((chart) => chart.dataset.drawn)"""
    while not page.evaluate(drawn):
        assert time.monotonic() < ends_at, "a chart was never drawn"
        page.wait_for_timeout(50)
