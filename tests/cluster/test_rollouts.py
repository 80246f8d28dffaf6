"""Promotions and rollbacks of releases in a cluster, under live traffic, by a portal outside of it."""

import time
from urllib.parse import urlsplit

import pytest

from deployments_app.backends.manifests import object_name
from deployments_app.backends.manifests_gateway import gateway_name
from deployments_app.testing import wait_until
from tests.cluster.asking import ask
from tests.s3_server import MISSING
from tests.shops import QUICK

USERS = [f"u{number}" for number in range(500)]


def measured(shop, rollout):
    return {"gateways": {}} | shop.program.get(f"rollouts/{rollout['id']}")["measured"]


def test_canary_promotion_and_rollback_fail_no_request(live, gateway, cluster):
    """10 % → 50 % → 100 %, then one click back; and what the rollback took, as the gateways measured it."""
    before = ask(gateway, live)["release"]
    traffic = live.traffic(USERS, rate=60, gateway_url=gateway)
    traffic.start()
    try:
        live.go_live(live.versions[1], QUICK)
        time.sleep(1)
        back = live.people["operator"].post(f"deployments/{live.deployment}/rollback", {"to_release": None})
        live.wait_rollout(back["id"], "succeeded")
        wait_until(lambda: len(measured(live, back)["gateways"]) == 2, within_s=10, what="both have measured")
    finally:
        traffic.stop()
    assert traffic.failures == {}
    assert len(traffic.answers) == 2
    assert before in traffic.answers
    assert ask(gateway, live)["release"] == before
    print(f"{traffic.total} requests, none failed; rollback: {measured(live, back)}")
    assert cluster.api.warnings == []


def test_a_pod_that_is_deleted_comes_back_and_its_shoppers_wait_for_nothing(live, gateway, cluster):
    """One server of one: the other gateway answers are refused at most while it starts anew."""
    release = live.program.get(f"deployments/{live.deployment}")["stable"]["id"]
    before = {pod.metadata.name for pod in cluster.pods(release)}
    for name in before:
        cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=0)
    began = time.monotonic()
    wait_until(
        lambda: any(
            pod.metadata.name not in before and pod.status.container_statuses[0].ready
            for pod in cluster.pods(release)
            if pod.status.container_statuses
        ),
        within_s=60,
        what="another pod is ready",
    )
    wait_until(lambda: ask(gateway, live) is not None, within_s=30, what="it serves")
    print(f"serving again after {time.monotonic() - began:.1f} s")
    assert cluster.api.get("Deployment", object_name(release)) is not None


def test_artifacts_come_from_the_s3_store(live, gateway, cluster, artifact_store):
    """The portal signs and sends on; each cache says from where it has what it keeps."""
    if not artifact_store:
        pytest.skip(MISSING)
    digest = live.program.get(f"model-versions/{live.versions[0]}")["artifact_digest"]
    said = f"Keeping {digest}.tar, from {urlsplit(artifact_store['ARTIFACT_S3_URL']).netloc}."
    pods = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector="app.kubernetes.io/component=gateway"
    ).items
    assert pods
    for pod in pods:
        wait_until(
            lambda name=pod.metadata.name: (
                said in cluster.core.read_namespaced_pod_log(name, cluster.namespace, container="cache")
            ),
            within_s=20,
            what="the cache has it from S3",
        )


def test_a_pod_that_is_deleted_while_the_portal_is_stopped_comes_back(live, gateway, cluster):
    """Its artifact is kept beside the gateways, and they find it by its name."""
    release = live.program.get(f"deployments/{live.deployment}")["stable"]["id"]
    gateways = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector="app.kubernetes.io/component=gateway"
    ).items
    digest = live.program.get(f"releases/{release}")["artifact_digest"]
    for pod in gateways:
        wait_until(
            lambda name=pod.metadata.name: (
                digest in cluster.run_in(name, "ls", "/var/lib/aisle/artifacts", container="cache")
            ),
            within_s=20,
            what="the cache has it",
        )
    with live.stack.held("web", "worker-deploy", "dispatcher"):
        before = {pod.metadata.name for pod in cluster.pods(release)}
        for name in before:
            cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=0)
        wait_until(lambda: ask(gateway, live) is None, within_s=20, what="nobody serves", every_s=0.2)
        wait_until(lambda: ask(gateway, live) is not None, within_s=60, what="somebody does again")
        assert {pod.metadata.name for pod in cluster.pods(release)}.isdisjoint(before)


def test_gateways_that_are_deleted_come_back(live, gateway, cluster):
    cluster.apps.delete_namespaced_deployment(gateway_name(live.environment), cluster.namespace)
    wait_until(lambda: live.see_environment()["gateways_ready"] < 2, within_s=30, what="it is seen")
    wait_until(lambda: live.see_environment()["gateways_ready"] == 2, within_s=60, what="both are back")
    # The node's way to them follows a moment after they are ready.
    wait_until(lambda: ask(gateway, live), within_s=30, what="they serve")
