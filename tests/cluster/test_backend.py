"""The Kubernetes backend keeps the contract of backends, with real pods of the real image."""

import http.client
import json
from dataclasses import replace

import pytest

from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.manifests import KINDS, ClusterSettings, object_name
from deployments_app.testing import BackendContract, wait_until


class TestKubernetesBackend(BackendContract):
    READY_WITHIN_S = 90
    GONE_WITHIN_S = 60

    @pytest.fixture
    def backend(self, cluster):
        return KubernetesBackend(cluster=cluster.api, options=ClusterSettings(cluster.image, drain_s=1))

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

    def test_what_somebody_edits_or_deletes_by_hand_is_put_right(self, backend, release, cluster):
        spec = release()
        self.await_ready(backend, spec)
        name = object_name(spec.key)
        cluster.apps.patch_namespaced_deployment_scale(name, cluster.namespace, {"spec": {"replicas": 0}})
        cluster.core.delete_namespaced_service(name, cluster.namespace)
        wait_until(lambda: backend.observe(spec.key).desired == 0, within_s=10, what="the edit is seen")
        self.await_ready(backend, spec)
        wait_until(lambda: cluster.api.get("Service", name), within_s=15, what="the Service is back")
        cluster.apps.delete_namespaced_deployment(name, cluster.namespace)
        wait_until(lambda: not backend.observe(spec.key).is_ready, within_s=20, what="its end is seen")
        self.await_ready(backend, spec)
