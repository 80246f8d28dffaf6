"""The chart, installed by Helm into a namespace that Pod Security restricts: a promotion and a rollback."""

import os
import secrets
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import yaml
from kubernetes.client import RbacAuthorizationV1Api

from deployments_app.backends.manifests_gateway import gateway_name
from deployments_app.backends.manifests_role import build_role
from deployments_app.testing import wait_until
from tests.cluster.cluster import TestCluster
from tests.cluster.relay import relaying
from tests.shops import AT_ONCE, open_live_shop

ROOT = Path(__file__).parents[2]
NAME = "aisle"
USERS = [f"u{number}" for number in range(200)]


def helm(cluster, *arguments):
    command = [cluster.program, "helm"] if cluster.program else ["helm"]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True, cwd=ROOT).stdout


@dataclass
class Installed:
    """The portal that the chart runs, as `tests.shops` sees a stack."""

    cluster: TestCluster
    portal_url: str
    gateway_url: str = ""

    def manage(self, *arguments: str) -> str:
        pods = self.cluster.core.list_namespaced_pod(
            self.cluster.namespace, label_selector="app.kubernetes.io/component=portal"
        )
        name = pods.items[0].metadata.name
        return self.cluster.run_in(name, "python", "manage.py", *arguments, container="portal")


@pytest.fixture(scope="module")
def chart_cluster():
    opened = TestCluster()
    with opened.namespace_of_its_own():
        yield opened


@pytest.fixture(scope="module")
def installed(chart_cluster, tmp_path_factory):
    """Install the chart beside PostgreSQL and Redis of this machine, on a volume of the node."""
    cluster = chart_cluster
    with ExitStack() as stack:
        secret = {"SECRET_KEY": secrets.token_hex(32), "AGENT_TOKEN": secrets.token_hex(32)}
        for name in ("DATABASE_URL", "REDIS_URL"):
            secret[name] = stack.enter_context(reached_from_pods(os.environ[name], cluster.address))
        cluster.core.create_namespaced_secret(
            cluster.namespace, {"metadata": {"name": NAME}, "stringData": secret}
        )
        stack.enter_context(volume_of_the_node(cluster, tmp_path_factory.mktemp("home")))
        repository, _, tag = cluster.image.rpartition(":")
        values = {
            "image.repository": repository, "image.tag": tag, "storage.existingClaim": NAME,
            "portal.serviceType": "NodePort", "portal.replicas": "1", "gateways.serviceType": "NodePort",
        }  # fmt: skip
        options = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        helm(cluster, "install", NAME, "charts/aisle", "--namespace", cluster.namespace, *options)
        wait_until(
            lambda: all_ready(cluster), within_s=180, what="every pod of the chart is ready", every_s=1
        )
        port = cluster.api.get("Service", f"{NAME}-portal")["spec"]["ports"][0]["nodePort"]
        yield Installed(cluster, f"http://127.0.0.1:{port}")
        helm(cluster, "uninstall", NAME, "--namespace", cluster.namespace)


@contextmanager
def reached_from_pods(url, address):
    """Relay a server of this machine; yields its URL as pods see it."""
    parts = urlsplit(url)
    with socket.create_server((address, 0)) as listener, relaying(listener, parts.port):
        user = parts.netloc.rpartition("@")[0]
        yield urlunsplit(parts._replace(netloc=f"{user}@{address}:{listener.getsockname()[1]}"))


@contextmanager
def volume_of_the_node(cluster, folder):
    """Make a volume that every pod shares: a folder of the node, which is this machine."""
    os.chown(folder, 10001, 10001)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    name = cluster.namespace
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claim = {"namespace": cluster.namespace, "name": NAME}
    volume = {**shared, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(folder)}, "claimRef": claim}
    cluster.core.create_persistent_volume({"metadata": {"name": name}, "spec": volume})
    wanted = {**shared, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    cluster.core.create_namespaced_persistent_volume_claim(
        cluster.namespace, {"metadata": {"name": NAME}, "spec": wanted}
    )
    try:
        yield
    finally:
        cluster.core.delete_persistent_volume(name)


def all_ready(cluster):
    found = cluster.apps.list_namespaced_deployment(cluster.namespace).items
    return found and all((each.status.ready_replicas or 0) == each.spec.replicas for each in found)


def test_the_charts_role_is_the_one_that_aisle_needs(chart_cluster):
    rendered = yaml.safe_load_all(helm(chart_cluster, "template", NAME, "charts/aisle"))
    roles = [each for each in rendered if each["kind"] == "Role"]
    assert [each["rules"] for each in roles] == [build_role("x")["rules"]]


def test_values_that_make_no_sense_are_refused_by_the_schema(chart_cluster):
    for wrong in ("publicUrl=aisle.example", "existingSecret=", "portal.replicas=0", "postgres.url=x"):
        with pytest.raises(subprocess.CalledProcessError):
            helm(chart_cluster, "template", NAME, "charts/aisle", "--set", wrong)


def test_helm_test_says_whether_all_is_set_up(installed):
    """It passes as installed, and fails once the account may not do what it has to."""
    cluster = installed.cluster
    helm(cluster, "test", NAME, "--namespace", cluster.namespace)
    rights = RbacAuthorizationV1Api(cluster.core.api_client)
    role = rights.read_namespaced_role(NAME, cluster.namespace)
    taken = {**rights.api_client.sanitize_for_serialization(role), "rules": []}
    rights.replace_namespaced_role(NAME, cluster.namespace, taken)
    try:
        with pytest.raises(subprocess.CalledProcessError):
            helm(cluster, "test", NAME, "--namespace", cluster.namespace, "--timeout", "60s")
        said = cluster.core.read_namespaced_pod_log(f"{NAME}-test", cluster.namespace)
        assert f"in {cluster.namespace} Aisle may not get deployments" in said
    finally:
        taken["metadata"].pop("resourceVersion")
        rights.replace_namespaced_role(NAME, cluster.namespace, {**taken, "rules": build_role("x")["rules"]})


def test_a_promotion_and_a_rollback_pass_in_the_cluster(installed, files):
    cluster = installed.cluster
    shop = open_live_shop(installed, backend="kubernetes")
    try:
        versions = shop.train(shop.upload(*files), "popularity", "item_knn")
        wait_until(lambda: shop.see_environment()["gateways_ready"] == 2, within_s=120, what="gateways")
        service = cluster.api.get("Service", gateway_name(shop.environment))
        gateway = f"http://127.0.0.1:{service['spec']['ports'][0]['nodePort']}"
        shop.go_live(versions[0], AT_ONCE)
        traffic = shop.traffic(USERS, rate=20, gateway_url=gateway)
        traffic.start()
        try:
            shop.go_live(versions[1], AT_ONCE)
            back = shop.people["operator"].post(
                f"deployments/{shop.deployment}/rollback", {"to_release": None}
            )
            shop.wait_rollout(back["id"], "succeeded")
        finally:
            traffic.stop()
        assert traffic.failures == {}
        assert set(traffic.answers) == {1, 2}
        access = shop.program.get(f"environments/{shop.environment}/access")
        assert all(right["is_allowed"] for right in access["rights"])
        print(f"{traffic.total} requests, none failed")
    finally:
        shop.close()
