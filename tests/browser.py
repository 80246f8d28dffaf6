"""Chromium as tests drive it: one browser, a context per person, theme and width."""

from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

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


def chromium_path() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = which(name)
        if found:
            return found
    raise FileNotFoundError("Chromium is not installed (Debian: apt-get install chromium)")


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_context(
    browser: Browser, *, width: int = 1440, height: int = 900, theme: str = "light", script: bool = True
) -> BrowserContext:
    """Make a fresh person's window; `script` False is a browser without JavaScript."""
    return browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )


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
        lambda message: found.append(message.text) if "Content Security Policy" in message.text else None,
    )
    return found
