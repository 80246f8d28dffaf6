"""The life of a placement with real pods: every strategy, every way back, and workers that die between."""

import shutil

import pytest

from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.models import Rollout, Workload
from deployments_app.testing import wait_until
from deployments_app.tests.factories import make_world, stored_artifact
from deployments_app.tests.rollout_contract import RolloutContract
from portal.core.storage import tree_path
from tests.cluster.artifact_server import serving


class TestClusterRollouts(RolloutContract):
    WITHIN_S = 120  # of one stretch: pods are scheduled, fetch their artifact and warm up

    @pytest.fixture
    def backend(self, cluster, settings):
        settings.KUBERNETES_NAMESPACES = [cluster.namespace]
        settings.KUBERNETES_IMAGE = cluster.image
        settings.KUBERNETES_DRAIN_S = 1
        return KubernetesBackend(cluster.namespace)

    @pytest.fixture
    def placement(self, db, backend, cluster, settings):
        def folder_at(path: str):
            return self.damaged or tree_path(path.split("/")[5].partition("?")[0])

        with serving(folder_at, cluster.address) as url:
            settings.CLUSTER_PORTAL_URL = url
            yield make_world(backend="kubernetes", namespace=cluster.namespace, keep_warm_s=86_400)
            made = list(Workload.objects.values_list("release_id", flat=True))

            def all_gone():
                for key in made:
                    backend.remove(key)
                return not any(backend.observe(key).exists for key in made)

            wait_until(all_gone, within_s=90, what="all pods are gone")

    @pytest.fixture(autouse=True)
    def with_folder(self, tmp_path):
        self.folder, self.damaged = tmp_path / "damaged", None

    def never_ready(self, world, begin):
        """What pods are given has another digest than was asked for: they refuse it before they start."""
        shutil.copytree(tree_path(stored_artifact("popularity")[0]), self.folder)
        manifest = self.folder / "manifest.json"
        manifest.chmod(0o600)
        manifest.write_bytes(manifest.read_bytes() + b" ")
        self.damaged = self.folder
        rollout = begin("at_once")
        Rollout.objects.filter(pk=rollout.pk).update(plan={**rollout.plan, "ready_within_s": 5})
        failed = self.until(world, rollout, lambda row: row.status == "failed")
        self.damaged = None
        return failed
