"""The life of a placement with real model servers on this machine."""

import shutil

import pytest

from deployments_app.backends.local import LocalBackend
from deployments_app.models import Rollout
from deployments_app.tests.factories import make_world, stored_artifact
from deployments_app.tests.rollout_contract import RolloutContract
from portal.core.storage import store_tree, tree_path


class TestLocalRollouts(RolloutContract):
    @pytest.fixture
    def placement(self, db, run_dir):
        return make_world(keep_warm_s=86_400)

    @pytest.fixture
    def backend(self, run_dir):
        return LocalBackend()

    @pytest.fixture(autouse=True)
    def with_folder(self, tmp_path):
        self.folder = tmp_path / "damaged"

    def never_ready(self, world, begin):
        """One byte of the artifact is another one: its servers refuse to serve it."""
        shutil.copytree(tree_path(stored_artifact("popularity")[0]), self.folder)
        member = max(self.folder.iterdir(), key=lambda path: path.stat().st_size)
        member.chmod(0o600)
        member.write_bytes(member.read_bytes()[:-1] + b"?")
        store_tree(self.folder, "b" * 64)
        rollout = begin("at_once", artifact_digest="b" * 64)
        Rollout.objects.filter(pk=rollout.pk).update(plan={**rollout.plan, "ready_within_s": 1})
        return self.until(world, rollout, lambda row: row.status == "failed")
