"""What all tests share: the servers, a whole stack on request, and which tests this machine cannot run."""

import gc
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.chromium import MISSING, chromium_path
from tests.running_stack import RunningStack
from tests.services import SESSION, SharedServers, separate_stack, separate_worker

ROOT = Path(__file__).parent
PATIENT = ("engine", "models_app", "monitoring_app", "tests/journeys/test_every_page.py")
SERVERS = pytest.StashKey[SharedServers]()
CHROMIUM = chromium_path()


@cache
def browser_problem() -> str | None:
    """Say what keeps this machine from opening pages: no Chromium, or a driver that lacks a library."""
    if CHROMIUM is None:
        return MISSING
    playwright = find_spec("playwright")
    assert playwright is not None
    assert playwright.origin is not None
    node = Path(playwright.origin).with_name("driver") / "node"
    if subprocess.run([node, "--version"], capture_output=True).returncode:
        return "The browser's driver does not start (Debian: apt-get install libatomic1)"
    return None


def is_arithmetic(path: Path) -> bool:
    """Tell whether tests at this path need neither Django nor a server."""
    return path.is_relative_to(ROOT / "engine")


def only_arithmetic(config: pytest.Config) -> bool:
    """Tell whether nothing but the engine's tests was asked for."""
    paths = [
        Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args
    ]
    return all(is_arithmetic(path) for path in paths)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the servers' addresses, then let Django read its settings."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if is_worker:
        separate_worker(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")))
    else:
        config.stash[SERVERS] = SharedServers()
        config.stash[SERVERS].set_environment()
    distributes = not is_worker and bool(getattr(config.option, "numprocesses", None))
    # The process that only hands out tests must not name the settings: its workers would inherit the name,
    # and read them before they have a folder of their own.
    if not distributes and not only_arithmetic(config):
        os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
        from django.conf import settings

        database = settings.DATABASES["default"]  # reads them, so that pytest-django sets Django up
        database["TEST"] = {"NAME": f"test_{database['NAME']}{SESSION}"}
    if distributes and not only_arithmetic(config):
        config.stash[SERVERS].start()


def is_patient(item: pytest.Item) -> bool:
    """Tell whether a test may wait for the processor: it has no deadline, and its servers are as it says."""
    waits = any(item.path.is_relative_to(ROOT / path) for path in PATIENT)
    return waits or "told" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must run alone, what may wait, and what this machine cannot run."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if is_patient(item):
            item.add_marker(pytest.mark.patient)
        elif "stack" in fixtures or item.get_closest_marker("journey") or item.get_closest_marker("fault"):
            item.add_marker(pytest.mark.alone)
        if "chromium" in fixtures and (problem := browser_problem()) is not None:
            item.add_marker(pytest.mark.skip(reason=problem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what is loaded out of the collector's sight; start the servers if a collected test needs them."""
    gc.freeze()  # the modules and tests stay: looking through them again and again took a tenth of the time
    servers = session.config.stash.get(SERVERS, None)
    if servers is not None and not all(is_arithmetic(item.path) for item in session.items):
        servers.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers."""
    servers = config.stash.get(SERVERS, None)
    if servers is not None:
        servers.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser."""
    assert CHROMIUM is not None  # else the test is skipped, see browser_problem
    return CHROMIUM


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Run a whole stack with its own folder, ports, database and gateway; stopped at the session's end."""
    with separate_stack() as home:
        yield RunningStack(home)


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real S3 server, where the machine has one; shared by the session."""
    from tests import s3_server

    if not s3_server.PROGRAM.exists():
        pytest.skip(s3_server.MISSING)
    with s3_server.running_s3(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def s3_store(s3_url, settings):
    """Have artifacts put into a bucket of the S3 server, and open it."""
    from portal.core.object_store import ObjectStore
    from tests.s3_server import make_bucket

    settings.ARTIFACT_S3_URL, settings.ARTIFACT_S3_BUCKET = s3_url, make_bucket(s3_url)
    return ObjectStore(s3_url, settings.ARTIFACT_S3_BUCKET)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Let transactional tests empty the event table, which is otherwise refused even to its owner."""
    from portal.core.testing import allow_flush

    with django_db_blocker.unblock():
        allow_flush()
