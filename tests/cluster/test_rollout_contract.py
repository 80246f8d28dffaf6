"""The life of a placement with real pods: every strategy, every way back, and workers that die between."""

import shutil
import time
from collections import Counter

import pytest

from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.kubernetes_api import Cluster
from deployments_app.models import Deployment, Rollout, Workload
from deployments_app.plan_rules import AT_ONCE
from deployments_app.services.workloads import LOOK_EVERY_S, reconcile_deployment
from deployments_app.testing import wait_until
from deployments_app.tests.factories import make_world, stored_artifact
from deployments_app.tests.rollout_contract import RolloutContract
from portal.core.storage import tree_path
from tests.cluster.artifact_server import serving

LOOKS = 15  # at every placement, where nothing changes


class TestClusterRollouts(RolloutContract):
    WITHIN_S = 120  # of one stretch: pods are scheduled, fetch their artifact and warm up

    @pytest.fixture
    def backend(self, cluster, settings):
        settings.KUBERNETES_NAMESPACES = [cluster.namespace]
        settings.KUBERNETES_IMAGE = cluster.image
        settings.KUBERNETES_DRAIN_S = 1
        return KubernetesBackend(cluster.namespace, shared_for_s=0)  # capacity is sampled, not remembered

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

    @pytest.mark.slow
    def test_placements_at_rest_take_few_calls(self, placement, monkeypatch):
        """Three are looked at in turn, each as often as by a portal, while nothing changes."""
        world, placements, calls = placement, [], Counter()
        for slug in ("home", "cart", "search"):
            world.deployment, _ = Deployment.objects.get_or_create(
                shop=world.shop, environment=world.environment, slug=slug, defaults={"name": slug}
            )
            self.go_on(world, world.start(world.version("popularity"), plan=AT_ONCE.to_json()))
            placements.append(world.deployment)
        call = Cluster._call

        def count(self, method, path, *args, **options):
            calls[f"{method} {path.split('/')[-1]}"] += 1
            return call(self, method, path, *args, **options)

        monkeypatch.setattr(Cluster, "_call", count)
        began = time.monotonic()
        for _ in range(LOOKS):
            for each in placements:
                reconcile_deployment(each.pk)
                time.sleep(LOOK_EVERY_S / len(placements))
        a_second = calls.total() / (time.monotonic() - began)
        print(f"{a_second:.2f} calls a second: {dict(calls)}")
        assert a_second <= 2

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
