"""What takes minutes: many rollouts under load, and servers that come and go with it."""

import http.client
import threading
import time

import pytest

from deployments_app.backends.base import Autoscale
from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.manifests import ClusterSettings
from deployments_app.testing import wait_until
from tests.shops import AT_ONCE

pytestmark = pytest.mark.slow
USERS = [f"u{number}" for number in range(500)]
CYCLES, REQUESTS = 5, 5000


def test_no_request_fails_over_many_promotions_and_rollbacks(live, gateway, cluster):
    """Half of the requests are POSTs."""
    traffic = live.traffic(USERS, rate=80, gateway_url=gateway)
    times = []
    traffic.start()
    try:
        for _ in range(CYCLES):
            live.go_live(live.versions[1], AT_ONCE)
            began = time.monotonic()
            back = live.people["operator"].post(
                f"deployments/{live.deployment}/rollback", {"to_release": None}
            )
            live.wait_rollout(back["id"], "succeeded")
            times.append(time.monotonic() - began)
        wait_until(lambda: traffic.total >= REQUESTS, within_s=180, what="enough was asked", every_s=1)
    finally:
        traffic.stop()
    print(
        f"{traffic.total} requests over {CYCLES} cycles; rollbacks in {[round(each, 2) for each in times]} s"
    )
    assert traffic.failures == {}
    assert cluster.api.warnings == []


def test_servers_come_with_load_and_go_after_it(cluster, new_spec):
    backend = KubernetesBackend(cluster=cluster.api, options=ClusterSettings(cluster.image, drain_s=1))
    spec = new_spec(autoscale=Autoscale(max_replicas=3, cpu_pct=30, calm_s=5))
    backend.apply(spec)
    stopping = threading.Event()
    try:
        wait_until(lambda: backend.observe(spec.key).is_ready, within_s=60, what="one is ready")
        endpoint = backend.observe(spec.key).endpoints[0]
        askers = [threading.Thread(target=ask_on, args=(endpoint, stopping)) for _ in range(4)]
        for asker in askers:
            asker.start()
        began = time.monotonic()
        await_count(backend, spec, lambda ready: ready >= 2)
        up_s = time.monotonic() - began
        stopping.set()
        for asker in askers:
            asker.join()
        began = time.monotonic()
        await_count(backend, spec, lambda ready: ready == 1)
        print(
            f"a second server after {up_s:.0f} s of load, one again {time.monotonic() - began:.0f} s after it"
        )
    finally:
        stopping.set()
        wait_until(
            lambda: backend.remove(spec.key) or not backend.observe(spec.key).exists, within_s=60, what="gone"
        )


def await_count(backend, spec, is_right):
    """Go on applying meanwhile, as the portal does: the number is the autoscaler's."""

    def look():
        backend.apply(spec)
        status = backend.observe(spec.key)
        return is_right(status.ready) and status.is_ready

    wait_until(look, within_s=180, what="as many servers as the load needs", every_s=1)


def ask_on(endpoint, stopping):
    host, _, port = endpoint.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    number = 0
    while not stopping.is_set():
        number += 1
        try:
            connection.request("GET", f"/shop/home/recommendations?user=u{number % 50}&k=10&n={number}")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(0.2)
    connection.close()
