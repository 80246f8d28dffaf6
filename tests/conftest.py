"""One browser for a module: two of Playwright's event loops do not fit into one thread, nor does Django's
database beside one, which modules after it may need."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import open_browser


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened
