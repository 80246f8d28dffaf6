"""Tests against a real cluster. `tests/cluster/run` chooses it; without one, nothing here is collected."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import TestCluster

collect_ignore_glob = [] if os.environ.get("AISLE_TEST_IMAGE") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Open the cluster, with a namespace of its own that admits only what Pod Security calls restricted."""
    opened = TestCluster()
    with opened.namespace_of_its_own():
        yield opened
