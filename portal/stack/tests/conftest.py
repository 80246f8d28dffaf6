"""A stack's folder, prepared, with nothing running in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.stack.home import StackHome


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    home = StackHome(tmp_path / "home")
    home.prepare()
    yield home
    home.remove_socket_folder()
