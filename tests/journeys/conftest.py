from collections.abc import Iterator

import pytest

from tests.running_stack import RunningStack
from tests.shops import LiveShop, open_live_shop, write_files


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[LiveShop]:
    opened = open_live_shop(stack)
    yield opened
    opened.close()
