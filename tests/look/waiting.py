"""Wait for a page that forbids eval, as ours do: Playwright's wait_for_function cannot look into it."""

import time

from playwright.sync_api import Page


def until(page: Page, expression: str, timeout_s: float = 15) -> None:
    """Wait until the JavaScript expression is true."""
    ends_at = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < ends_at, f"never true: {expression}"
        page.wait_for_timeout(50)
