"""One browser for all tests of a session: two of Playwright's event loops do not fit into one thread."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import open_browser


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened
