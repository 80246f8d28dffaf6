"""Tests against a real cluster. `tests/cluster/run` chooses it; without one, nothing here is collected."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deployments_app.backends.base import ReleaseSpec
from deployments_app.testing import spec_of, wait_until
from engine.tests.serving_process import make_artifact
from tests import s3_server
from tests.cluster.artifact_server import serving
from tests.cluster.asking import ask
from tests.cluster.cluster import TestCluster
from tests.cluster.portal_outside import await_gateways, portal_outside
from tests.cluster.relay import relaying
from tests.running_stack import RunningStack
from tests.shops import AT_ONCE, LiveShop, open_live_shop, write_files

numbers = count(1)
collect_ignore_glob = [] if os.environ.get("AISLE_TEST_IMAGE") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Open the cluster, with a namespace of its own that admits only what Pod Security calls restricted."""
    opened = TestCluster()
    with opened.namespace_of_its_own():
        yield opened


@pytest.fixture(scope="session")
def artifact_store(
    cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Run an S3 server that pods reach; yields the settings that name it, none where the machine has none."""
    if not s3_server.PROGRAM.exists():
        yield {}
        return
    with ExitStack() as opened:
        url = opened.enter_context(s3_server.running_s3(tmp_path_factory.mktemp("s3")))
        listener = opened.enter_context(socket.create_server((cluster.address, 0)))
        opened.enter_context(relaying(listener, urlsplit(url).port))
        address, port = listener.getsockname()[:2]
        yield {
            "ARTIFACT_S3_URL": f"http://{address}:{port}",
            "ARTIFACT_S3_BUCKET": s3_server.make_bucket(url),
        }


@pytest.fixture(scope="session")
def cluster_stack(cluster: TestCluster, artifact_store: dict[str, str]) -> Iterator[RunningStack]:
    with portal_outside(cluster, artifact_store) as stack:
        yield stack


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="session")
def shop(cluster_stack: RunningStack, files: tuple[Path, Path]) -> Iterator[LiveShop]:
    """Open a shop whose environment is in the cluster, with two model versions."""
    opened = open_live_shop(cluster_stack, backend="kubernetes")
    opened.versions = opened.train(opened.upload(*files), "popularity", "item_knn")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def gateway(shop: LiveShop, cluster: TestCluster) -> str:
    return await_gateways(shop, cluster)


@pytest.fixture(scope="session")
def live(shop: LiveShop, gateway: str) -> LiveShop:
    """Make the first version live, at once."""
    shop.go_live(shop.versions[0], AT_ONCE)
    wait_until(lambda: ask(gateway, shop) is not None, within_s=10, what="the gateway serves it")
    return shop


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("artifact") / "model", "popularity")


@pytest.fixture(scope="session")
def source(artifact, cluster):
    with serving(lambda path: artifact.folder, cluster.address) as url:
        yield url


@pytest.fixture
def new_spec(artifact, source):
    def make(**changes) -> ReleaseSpec:
        number = next(numbers)
        place = {"artifact_url": f"{source}/artifacts/rel_{number}?signature=none", "change_request": "pro_1"}
        return spec_of(number, artifact.folder, artifact.digest, "popularity", **{**place, **changes})

    return make
