"""What a worker makes of a queued run."""

import numpy as np
import pytest

from engine.artifacts import load_artifact
from models_app.models import ModelVersion, TrainingRun
from models_app.services.registry import artifact_folder
from models_app.tests.factories import items_csv, make_version, start_runs, train
from portal.core.errors import Unprocessable
from portal.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(shop, analyst):
    return make_version(analyst, shop, items=items_csv(), checked=True)


def test_items_nobody_chose_yet_are_recommended_by_what_is_said_of_them(shop, analyst):
    version = make_version(analyst, shop, items=items_csv(42), checked=True)
    candidate = start_runs(analyst, version, "content")[1]
    train(candidate)
    assert candidate.status == "succeeded", candidate.error
    made = ModelVersion.objects.get()
    artifact = load_artifact(artifact_folder(made), made.artifact_digest)
    found = artifact.estimator.recommend(np.arange(60), 10, seen=artifact.seen).items
    assert np.isin([40, 41], found).any()


def test_a_live_recipe_that_needs_an_item_file_is_refused_at_the_start(shop, analyst, version):
    bare = make_version(analyst, shop, checked=True)
    candidate = start_runs(analyst, version, "content")[1]
    train(candidate)
    runs = TrainingRun.objects.count()
    with pytest.raises(Unprocessable, match=r"cannot be fitted on .* item file") as refused:
        start_runs(analyst, bare, champion=ModelVersion.objects.get())
    assert refused.value.code == "champion_not_ready"
    assert TrainingRun.objects.count() == runs


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
