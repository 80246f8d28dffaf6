"""The Kubernetes backend keeps the contract of backends, with real pods of the real image."""

import http.client
import json
import time
from dataclasses import replace

import pytest

from deployments_app.backends.base import Autoscale
from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.manifests import KINDS, ClusterSettings, object_name
from deployments_app.services.workloads import LOOK_EVERY_S
from deployments_app.testing import BackendContract, wait_until


class TestKubernetesBackend(BackendContract):
    READY_WITHIN_S = 90
    GONE_WITHIN_S = 60

    @pytest.fixture
    def backend(self, cluster):
        """Return one that looks anew at what is at rest, too: a server may die and be back within seconds."""
        options = ClusterSettings(cluster.image, drain_s=1)
        return KubernetesBackend(cluster=cluster.api, options=options, shared_for_s=0)

    @pytest.fixture
    def sharing(self, backend, cluster):
        """Return one that believes lists as a portal's does."""
        return KubernetesBackend(cluster=cluster.api, options=backend.options)

    @pytest.fixture
    def make_spec(self, new_spec):
        return new_spec

    @pytest.fixture(autouse=True)
    def nothing_to_remark(self, cluster):
        """No object of ours makes the server warn, of Pod Security or of anything else."""
        yield
        assert cluster.api.warnings == []

    @pytest.fixture(autouse=True)
    def with_cluster(self, cluster):
        self.cluster = cluster

    def end_server(self, backend, key):
        """End the process. From inside, only signals that it handles reach the first one of a container."""
        pod = self.cluster.pods(key)[0]
        self.cluster.run_in(pod.metadata.name, "sh", "-c", "kill -TERM 1; kill -TERM 1")

    def test_what_is_removed_takes_all_its_objects_along(self, backend, release, cluster):
        spec = release()
        self.await_ready(backend, spec)
        there = [kind for kind in KINDS if cluster.api.get(kind, object_name(spec.key))]
        assert there == [kind for kind in KINDS if kind != "HorizontalPodAutoscaler"]
        self.await_gone(backend, spec.key)
        assert not [kind for kind in KINDS if cluster.api.get(kind, object_name(spec.key))]

    def test_a_preview_shows_every_object_and_makes_none(self, backend, make_spec, cluster):
        spec = make_spec()
        shown = backend.preview(spec)
        assert shown.problem == ""
        assert [each.what.split()[0] for each in shown.changes] == list(KINDS[:-1])
        assert {each.act for each in shown.changes} == {"make"}
        assert spec.signing_key not in str(shown)
        assert not backend.observe(spec.key).exists
        wrong = backend.preview(replace(spec, replicas=-1))
        assert "would not apply the Deployment" in wrong.problem

    def test_a_server_answers_by_the_name_of_its_release(self, backend, release, cluster):
        """And holds no token of the cluster, runs as nobody, and cannot write to its own root."""
        spec = release()
        status = self.await_ready(backend, spec)
        assert status.service == f"{object_name(spec.key)}.{cluster.namespace}.svc.cluster.local:8080"
        host, _, port = status.endpoints[0].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request("GET", "/shop/home/recommendations?user=u1&k=3")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["release_id"] == spec.key
        assert len(answer["items"]) == 3
        name = cluster.pods(spec.key)[0].metadata.name
        said = cluster.run_in(
            name, "sh", "-c", "id -u; ls /var/run/secrets 2>&1; touch /app/x 2>&1; env | grep -c KEY"
        ).split("\n")
        assert said[0] == "10001"
        assert "No such file" in said[1]
        assert "Read-only file system" in said[2]
        assert said[3] == "0"

    def test_what_somebody_edits_or_deletes_by_hand_is_put_right(self, sharing, release, cluster):
        spec = release()
        self.await_ready(sharing, spec)
        name = object_name(spec.key)
        cluster.apps.patch_namespaced_deployment_scale(name, cluster.namespace, {"spec": {"replicas": 0}})
        cluster.core.delete_namespaced_service(name, cluster.namespace)
        wait_until(lambda: sharing.observe(spec.key).desired == 0, within_s=10, what="the edit is seen")
        self.await_ready(sharing, spec)
        wait_until(lambda: cluster.api.get("Service", name), within_s=15, what="the Service is back")
        changed = replace(spec, replicas=2)
        sharing.apply(changed)  # at rest a moment ago, and seen in a list
        assert sharing.observe(spec.key).desired == 2
        sharing.apply(spec)
        assert sharing.observe(spec.key).desired == 1
        cluster.apps.delete_namespaced_deployment(name, cluster.namespace)
        wait_until(lambda: not sharing.observe(spec.key).is_ready, within_s=20, what="its end is seen")
        self.await_ready(sharing, spec)

    @pytest.mark.slow
    def test_what_is_edited_at_rest_is_put_right_within_30_s(self, sharing, release, cluster):
        """A label or the content of every other object; then the Secret alone, which nobody reads."""
        spec = release(autoscale=Autoscale(max_replicas=2, cpu_pct=10_000))
        self.await_ready(sharing, spec)
        name = object_name(spec.key)
        originals = {kind: cluster.api.get(kind, name) for kind in KINDS}

        def look():
            sharing.apply(spec)
            return sharing.observe(spec.key)

        def await_originals(kinds):
            began, after_s = time.monotonic(), {}
            while len(after_s) < len(kinds):
                assert time.monotonic() - began < 30, f"not put right: {set(kinds) - after_s.keys()}"
                time.sleep(LOOK_EVERY_S)
                look()
                for kind in set(kinds) - after_s.keys():
                    if is_same(cluster.api.get(kind, name), originals[kind]):
                        after_s[kind] = round(time.monotonic() - began, 1)
            print(f"put right after, in seconds: {after_s}")

        rest(look)
        others = [kind for kind in KINDS if kind not in ("Deployment", "Secret")]
        for kind in others:
            edit(cluster, kind, name, {"metadata": {"labels": {"app.kubernetes.io/part-of": "nobody"}}})
        edit(cluster, "PodDisruptionBudget", name, {"spec": {"maxUnavailable": 0}})
        edit(cluster, "NetworkPolicy", name, {"spec": {"egress": []}})
        await_originals(others)
        self.await_ready(sharing, spec)
        rest(look)
        edit(cluster, "Secret", name, {"data": {"signing.key": "bm9uZQ=="}})
        await_originals(["Secret"])
        cluster.api.delete("Secret", name)
        await_originals(["Secret"])


def is_same(there, original):
    """Compare what somebody decides of an object."""
    if there is None or there["metadata"]["labels"] != original["metadata"]["labels"]:
        return False
    return all(there.get(part) == original.get(part) for part in ("spec", "data"))


def rest(look):
    """Have it looked at until what is seen of it comes from lists."""
    for _ in range(3):
        assert look().is_ready
        time.sleep(LOOK_EVERY_S)


def edit(cluster, kind, name, patch):
    """Change an object as `kubectl patch` does."""
    cluster.api._call(
        "PATCH", f"{cluster.api._path(kind)}/{name}", [("fieldManager", "somebody")], body=patch,
        content_type="application/merge-patch+json", what="edit it by hand",
    )  # fmt: skip
