"""What a cluster may do to a rollout: each fault has a name on the page, and passes by itself afterwards."""

import time
import urllib.request

import pytest
import yaml

from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.kubernetes_api import Cluster, Refused
from deployments_app.backends.manifests import ClusterSettings
from deployments_app.testing import wait_until
from portal.core.errors import BackendError

CONVERGES_WITHIN_S = 30 * 2  # of the goal; the machine has other work too


@pytest.fixture
def backend(cluster):
    return KubernetesBackend(cluster=cluster.api, options=ClusterSettings(cluster.image, drain_s=1))


@pytest.fixture
def release(backend, new_spec):
    """Return a function that describes a release, which is removed with the test."""
    made = []

    def make(**changes):
        made.append(new_spec(**changes))
        return made[-1]

    yield make

    def all_gone():
        for spec in made:
            backend.remove(spec.key)
        return not any(backend.observe(spec.key).exists for spec in made)

    wait_until(all_gone, within_s=60, what="all are gone")


def await_reason(backend, spec, words):
    def look():
        try:
            backend.apply(spec)
            return words in backend.observe(spec.key).reason
        except BackendError as error:
            return words in error.detail

    wait_until(look, within_s=30, what=f"the reason says {words!r}")


def await_ready(backend, spec):
    began = time.monotonic()

    def look():
        backend.apply(spec)
        return backend.observe(spec.key).is_ready

    wait_until(look, within_s=CONVERGES_WITHIN_S, what="it is ready")
    print(f"ready {time.monotonic() - began:.1f} s after the fault ended")


def test_an_image_that_is_missing_is_named_and_another_puts_it_right(backend, release, cluster):
    spec = release()
    without = KubernetesBackend(
        cluster=cluster.api, options=ClusterSettings("localhost/no-such-image:1", "Never", drain_s=1)
    )
    await_reason(without, spec, "the image localhost/no-such-image:1 cannot be fetched")
    await_ready(backend, spec)


def test_a_quota_that_is_used_up_is_named_and_room_puts_it_right(backend, release, cluster):
    full = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    cluster.core.create_namespaced_resource_quota(cluster.namespace, full)
    try:
        spec = release()
        await_reason(backend, spec, "the namespace's quota is used up: exceeded quota: full")
    finally:
        cluster.core.delete_namespaced_resource_quota("full", cluster.namespace)
    await_ready(backend, spec)


def test_what_aisle_may_not_do_is_named_and_the_role_that_it_prints_is_enough(cluster, new_spec):
    """With the account of a pod, which has no rights: the sentence says what it may not, and where."""
    powerless = cluster.client_of("default")
    try:
        forbidden = KubernetesBackend(
            cluster=Cluster(powerless, cluster.namespace), options=ClusterSettings(cluster.image, drain_s=1)
        )
        assert not any(right.is_allowed for right in forbidden.list_rights())
        with pytest.raises(
            Refused, match=r"Aisle may not apply the ServiceAccount .* in the namespace"
        ) as refusal:
            forbidden.apply(new_spec())
        assert refusal.value.retryable
        cluster.grant("default", yaml.safe_load(forbidden.role([])))
        wait_until(
            lambda: all(right.is_allowed for right in forbidden.list_rights()), within_s=10, what="it may all"
        )
        spec = new_spec()
        await_ready(forbidden, spec)
        assert forbidden.loaded() == [spec.key]
        wait_until(
            lambda: forbidden.remove(spec.key) or not forbidden.observe(spec.key).exists,
            within_s=60,
            what="it is gone",
        )
    finally:
        powerless.rest_client.close()


def test_a_frozen_api_server_is_named_and_serving_goes_on(live, gateway, cluster):
    """Frozen for 30 s with a placement live: no answer fails, the page says since when, and it passes."""
    if not cluster.program:
        pytest.skip("only the program of AISLE_CLUSTER can freeze an API server")
    url = f"{gateway}/{live.slug}/home/recommendations?user=u1&k=3"
    cluster.fault("freeze", "kube-apiserver")
    try:
        until = time.monotonic() + 30
        slowest, reasons = 0.0, set()
        while time.monotonic() < until:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
            began = time.monotonic()
            stable = live.program.get(f"deployments/{live.deployment}")["stable"]
            slowest = max(slowest, time.monotonic() - began)
            reasons.add(stable["servers"]["reason"])
            time.sleep(0.2)
    finally:
        cluster.fault("thaw", "kube-apiserver")
    began = time.monotonic()
    assert any("the cluster has not answered since" in reason for reason in reasons), reasons
    assert slowest < 5
    wait_until(
        lambda: not live.program.get(f"deployments/{live.deployment}")["stable"]["servers"]["reason"],
        within_s=CONVERGES_WITHIN_S,
        what="the reason is gone",
    )
    print(f"slowest page {slowest:.2f} s; all well {time.monotonic() - began:.1f} s after the thaw")
