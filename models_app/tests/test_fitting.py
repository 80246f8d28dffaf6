"""What a worker makes of a queued run."""

import pytest

from engine.artifacts import load_artifact
from models_app.models import ModelVersion
from models_app.services.registry import artifact_folder
from models_app.tests.factories import items_csv, make_version, start_runs, train
from portal.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(shop, analyst):
    return make_version(analyst, shop, items=items_csv(), checked=True)


def test_a_run_is_fitted_measured_and_registered(analyst, version):
    baseline, candidate = start_runs(analyst, version)
    train(baseline, candidate)
    assert (baseline.status, candidate.status) == ("succeeded", "succeeded"), candidate.error
    assert candidate.metrics["ndcg@10"]["n"] > 0
    made = ModelVersion.objects.get()
    assert (made.run_id, made.number, made.algorithm) == (candidate.pk, 1, "item_knn")
    artifact = load_artifact(artifact_folder(made), made.artifact_digest)
    assert artifact.seen.nnz == version.interaction_count
    assert artifact.facts.title(0).startswith("Product number")
    assert made.lineage["file_sha256"] == version.file_sha256
    assert "NDCG" in made.card
    verbs = list(
        Event.objects.filter(object_id=candidate.pk).order_by("created_at").values_list("verb", flat=True)
    )
    assert verbs == ["trainingrun.queued", "trainingrun.running", "trainingrun.succeeded"]
