"""The cluster that tests run against: its namespace, its faults, and the address where pods reach us."""

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from kubernetes.client import (
    ApiClient,
    AppsV1Api,
    Configuration,
    CoreV1Api,
    RbacAuthorizationV1Api,
    V1DeleteOptions,
)
from kubernetes.stream import stream

from deployments_app.backends.kubernetes_api import Cluster, open_cluster
from deployments_app.testing import wait_until

LEVEL = "pod-security.kubernetes.io/"


class TestCluster:
    """A real cluster; `program` is the one that can freeze its parts, when there is such a program."""

    __test__ = False

    def __init__(self) -> None:
        self.image = os.environ["AISLE_TEST_IMAGE"]
        self.program = os.environ.get("AISLE_CLUSTER", "")
        self.namespace = f"aisle-test-{secrets.token_hex(3)}"
        self.api: Cluster = open_cluster(self.namespace)
        self.core = CoreV1Api(self.api._client)
        self.apps = AppsV1Api(self.api._client)

    @contextlib.contextmanager
    def namespace_of_its_own(self) -> Iterator[None]:
        modes = {f"{LEVEL}{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        self.core.create_namespace({"metadata": {"name": self.namespace, "labels": modes}})
        try:
            yield
        finally:
            self.core.delete_namespace(self.namespace, body=V1DeleteOptions(grace_period_seconds=0))

    @property
    def address(self) -> str:
        """Return an address of this machine that pods reach: the node's own, if this machine is the node."""
        for node in self.core.list_node().items:
            for each in node.status.addresses:
                with contextlib.suppress(OSError), socket.create_server((each.address, 0)):
                    return str(each.address)
        return socket.gethostbyname(socket.gethostname())

    def client_of(self, account: str) -> ApiClient:
        """Make a client that is nobody but a service account of the namespace."""
        asked = {"spec": {"expirationSeconds": 600}}
        made = self.core.create_namespaced_service_account_token(account, self.namespace, asked)
        own = self.api._client.configuration
        configuration = Configuration(host=own.host, ssl_ca_cert=own.ssl_ca_cert)
        configuration.api_key = {"BearerToken": f"Bearer {made.status.token}"}
        configuration.retries = False
        return ApiClient(configuration)

    def grant(self, account: str, role: dict[str, Any]) -> None:
        """Make a Role, and bind it to a service account of the namespace."""
        name = role["metadata"]["name"]
        api = RbacAuthorizationV1Api(self.api._client)
        api.create_namespaced_role(self.namespace, role)
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
        api.create_namespaced_role_binding(self.namespace, binding)

    def pods(self, release: str) -> list[Any]:
        return self.core.list_namespaced_pod(
            self.namespace, label_selector=f"aisle.dev/release-id={release}"
        ).items

    def run_in(self, pod: str, *command: str, container: str = "server") -> str:
        """Run a command in a container."""
        talk = stream(
            self.core.connect_get_namespaced_pod_exec, pod, self.namespace, container=container,
            command=list(command), stderr=True, stdout=True, stdin=False, tty=False, _preload_content=False,
        )  # fmt: skip
        try:
            talk.run_forever(timeout=20)
            return str(talk.read_all())
        finally:
            talk.sock.shutdown()  # `close` does nothing once the other end has

    def fault(self, *arguments: str) -> None:
        """Have the cluster's program freeze, thaw, stop or start a part."""
        subprocess.run([self.program, *arguments], check=True, capture_output=True)

    def await_empty(self, within_s: float = 60) -> None:
        wait_until(
            lambda: not self.core.list_namespaced_pod(self.namespace).items,
            within_s=within_s,
            what="all pods are gone",
        )
