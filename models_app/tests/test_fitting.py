"""What a worker makes of a queued run."""

import io
import urllib.request

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from engine.artifacts import load_artifact
from models_app.artifact_archive import archive_files, write_archive
from models_app.artifact_store import stored_artifact_url
from models_app.models import ModelVersion, TrainingRun
from models_app.services.registry import artifact_folder
from models_app.services.training import cancel_run
from models_app.tests.factories import items_csv, make_version, start_runs, train
from portal.core.errors import Unprocessable
from portal.core.models import Event
from portal.core.object_store import ObjectStore
from portal.core.storage import tree_path
from portal.stack.ports import choose_port
from tests.s3_server import open_client

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


def test_a_model_is_put_into_the_s3_store_before_its_version_is_seen(analyst, version, s3_store, monkeypatch):
    seen = []
    put = ObjectStore.put

    def noting_put(store, key, chunks):
        seen.append(ModelVersion.objects.count())
        put(store, key, chunks)

    monkeypatch.setattr(ObjectStore, "put", noting_put)
    baseline, candidate = start_runs(analyst, version)
    train(baseline, candidate)
    made = ModelVersion.objects.get()
    assert seen == [0]
    assert s3_store.has(f"artifacts/{made.artifact_digest}.tar")
    assert "The model is in the S3 store" in candidate.log
    with urllib.request.urlopen(stored_artifact_url(made.artifact_digest), timeout=10) as answer:
        packed = answer.read()
    assert packed == b"".join(write_archive(archive_files(tree_path(made.artifact_digest))))


def test_an_s3_store_that_is_down_costs_no_version_and_a_command_makes_up_for_it(
    analyst, version, s3_store, settings
):
    url = settings.ARTIFACT_S3_URL
    settings.ARTIFACT_S3_URL = f"http://127.0.0.1:{choose_port()}"
    candidate = start_runs(analyst, version)[1]
    train(candidate)
    made = ModelVersion.objects.get()
    assert candidate.status == "succeeded"
    assert "warning The S3 store says: Could not connect" in candidate.log
    assert "store_artifacts" in candidate.log
    with pytest.raises(CommandError, match="Could not connect"):
        call_command("store_artifacts")
    settings.ARTIFACT_S3_URL = ""
    with pytest.raises(CommandError, match="set ARTIFACT_S3_URL"):
        call_command("store_artifacts")
    settings.ARTIFACT_S3_URL = url
    said = io.StringIO()
    for _ in range(2):  # what is there already is no mistake
        call_command("store_artifacts", stdout=said)
    assert said.getvalue() == "1 artifacts are in the S3 store.\n" * 2
    assert s3_store.has(f"artifacts/{made.artifact_digest}.tar")


def test_a_run_that_is_canceled_while_its_model_goes_to_s3_stops_there(
    analyst, version, s3_url, s3_store, settings, monkeypatch
):
    candidate = start_runs(analyst, version)[1]

    def canceling(files):
        cancel_run(analyst, TrainingRun.objects.get(pk=candidate.pk))
        yield from write_archive(files)

    monkeypatch.setattr("models_app.artifact_store.write_archive", canceling)
    train(candidate)
    assert candidate.status == "canceled"
    assert not ModelVersion.objects.exists()
    assert open_client(s3_url).list_objects_v2(Bucket=settings.ARTIFACT_S3_BUCKET)["KeyCount"] == 0
