"""Tests against a real cluster. `tests/cluster/run` chooses it; without one, nothing here is collected."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.cluster.cluster import TestCluster
from tests.cluster.relay import relaying
from tests.running_stack import RunningStack
from tests.services import separate_stack
from tests.shops import LiveShop, open_live_shop, write_files

collect_ignore_glob = [] if os.environ.get("AISLE_TEST_IMAGE") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Open the cluster, with a namespace of its own that admits only what Pod Security calls restricted."""
    opened = TestCluster()
    with opened.namespace_of_its_own():
        yield opened


@pytest.fixture(scope="session")
def cluster_stack(cluster: TestCluster) -> Iterator[RunningStack]:
    """Run a portal outside the cluster that runs releases inside; pods reach it at the node's address."""
    with socket.create_server((cluster.address, 0)) as listener:
        address, port = listener.getsockname()[:2]
        given = {
            "KUBERNETES_NAMESPACES": cluster.namespace,
            "KUBERNETES_IMAGE": cluster.image,
            "KUBERNETES_DRAIN_S": "7",
            "KUBERNETES_GATEWAY_TYPE": "NodePort",
            "CLUSTER_PORTAL_URL": f"http://{address}:{port}",
            "ALLOWED_HOSTS": f"127.0.0.1,localhost,{address}",
        }
        with patch.dict(os.environ, given), separate_stack() as home:
            stack = RunningStack(home)
            with relaying(listener, int(stack.values["WEB_PORT"])):
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
