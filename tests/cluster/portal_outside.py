"""A portal outside of the cluster that runs releases inside, as tests and benchmarks use it."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from deployments_app.backends.manifests_gateway import gateway_name
from deployments_app.testing import wait_until
from tests.cluster.cluster import TestCluster
from tests.cluster.relay import relaying
from tests.running_stack import RunningStack
from tests.services import separate_stack
from tests.shops import LiveShop


@contextmanager
def portal_outside(cluster: TestCluster, settings: Mapping[str, str] | None = None) -> Iterator[RunningStack]:
    """Run a stack of its own for the cluster's namespace; pods reach it at the node's address."""
    with socket.create_server((cluster.address, 0)) as listener:
        address, port = listener.getsockname()[:2]
        given = {
            "KUBERNETES_NAMESPACES": cluster.namespace,
            "KUBERNETES_IMAGE": cluster.image,
            "KUBERNETES_DRAIN_S": "7",
            "KUBERNETES_GATEWAY_TYPE": "NodePort",
            "CLUSTER_PORTAL_URL": f"http://{address}:{port}",
            "ALLOWED_HOSTS": f"127.0.0.1,localhost,{address}",
            **(settings or {}),
        }
        with patch.dict(os.environ, given), separate_stack() as home:
            stack = RunningStack(home)
            with relaying(listener, int(stack.values["WEB_PORT"])):
                yield stack


def await_gateways(shop: LiveShop, cluster: TestCluster) -> str:
    """Wait for the gateways of the shop's environment; return the address of their Service's NodePort."""

    def are_ready() -> bool:
        seen = shop.see_environment()
        return bool(seen["gateways_ready"] == 2 and seen["gateways_address"])

    wait_until(are_ready, within_s=90, what="both gateways are ready", every_s=0.5)
    service = cluster.api.get("Service", gateway_name(shop.environment))
    assert service is not None
    return f"http://127.0.0.1:{service['spec']['ports'][0]['nodePort']}"
