from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import open_browser
from tests.running_stack import RunningStack
from tests.shops import LiveShop, open_live_shop, write_files


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[LiveShop]:
    opened = open_live_shop(stack)
    yield opened
    opened.close()
