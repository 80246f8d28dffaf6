"""What the API refuses, to whom, and how it says so; and what its lists cost."""

import json

import pytest
from django.test import Client

from models_app.models import Dataset, DatasetVersion, TrainingRun
from models_app.tests.api_client import SCOPES, Api
from models_app.tests.factories import (
    make_version,
    ratings_csv,
    start_runs,
    train,
)
from portal.core.models import Event, Role
from portal.core.testing import make_actor, make_shop

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"algorithms": []}, "/algorithms"),
        ({"algorithms": [{"algorithm": "magic"}]}, "/algorithms/0/algorithm"),
        ({"algorithms": [{"algorithm": "als", "config": {"factors": -1}}]}, "/algorithms/0/config/factors"),
        ({"algorithms": [{"algorithm": "als", "config": {"facktors": 8}}]}, "/algorithms/0/config/facktors"),
        ({"algorithms": [{"algorithm": "als", "owner": "me"}]}, "/algorithms/0/owner"),
        ({"algorithms": [{"algorithm": "als"}, {"algorithm": "als"}]}, "/algorithms"),
        ({"model": "no spaces, please"}, "/model"),
        ({"seed": -1}, "/seed"),
        ({"seed": 2**63}, "/seed"),
        ({"split": {"method": "magic"}}, "/split/method"),
        ({"role": "baseline"}, "/role"),
    ],
)
def test_a_training_that_cannot_be_is_refused_with_its_field(api, shop, analyst, change, pointer):
    version = make_version(analyst, shop, checked=True)
    body = {"dataset_version": version.pk, "model": "shop-main", "algorithms": [{"algorithm": "als"}]}
    answer = api.post("training-runs", {**body, **change})
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not TrainingRun.objects.exists()


def test_data_that_is_not_ready_cannot_be_trained_on(api, shop, analyst):
    version = make_version(analyst, shop)
    body = {"dataset_version": version.pk, "model": "m", "algorithms": [{"algorithm": "als"}]}
    answer = api.post("training-runs", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "data_not_ready")


def test_a_repeated_post_acts_once(api, shop, analyst):
    version = make_version(analyst, shop, checked=True)
    body = {"dataset_version": version.pk, "model": "m", "algorithms": [{"algorithm": "als"}]}
    first, second = (api.post("training-runs", body, key="one") for _ in range(2))
    assert first.content == second.content
    assert TrainingRun.objects.count() == 2
    assert api.post("training-runs", {**body, "seed": 5}, key="one").status_code == 422
    assert (
        api.client.post(
            "/api/v1/datasets", {}, headers=api.headers, content_type="application/json"
        ).status_code
        == 400
    )


def test_another_shops_objects_do_not_exist(api, shop, analyst):
    version = make_version(analyst, shop, checked=True)
    runs = start_runs(analyst, version)
    train(*runs)
    made = runs[1].model_version
    other_shop = make_shop()
    other = Api(make_actor(other_shop, Role.ADMIN), other_shop, [*SCOPES])
    paths = [
        f"datasets/{version.dataset_id}",
        f"datasets/{version.dataset_id}/versions",
        f"dataset-versions/{version.pk}",
        f"dataset-versions/{version.pk}/file",
        f"dataset-versions/{version.pk}/plan",
        f"training-runs/{runs[0].pk}",
        f"training-runs/{runs[0].pk}/log",
        f"comparisons?runs={runs[0].pk},{runs[1].pk}",
        f"models/{made.registered_model_id}",
        f"model-versions/{made.pk}",
        f"model-versions/{made.pk}/card",
        f"model-versions/{made.pk}/manifest",
        f"model-versions/{made.pk}/preview?user=u1",
        f"jobs/{version.pk}",
    ]
    assert {path: other.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)
    for path in (f"dataset-versions/{version.pk}/cancel", f"training-runs/{runs[0].pk}/cancel"):
        assert other.post(path).status_code == 404
    body = {"dataset_version": version.pk, "model": "m", "algorithms": [{"algorithm": "als"}]}
    assert other.post("training-runs", body).status_code == 404
    assert other.put(f"dataset-versions/{version.pk}/file", b"a,b\n1,2\n").status_code == 404
    for path in paths:
        answer = api.get(path)
        assert answer.status_code == 200, path
        if answer.streaming:
            list(answer.streaming_content)


def test_a_download_is_an_attachment_and_is_written_down(shop, analyst, api):
    version = make_version(analyst, shop)
    DatasetVersion.objects.filter(pk=version.pk).update(file_name='bücher "neu".csv')
    answer = api.get(f"dataset-versions/{version.pk}/file")
    assert b"".join(answer.streaming_content) == ratings_csv()
    assert answer["Content-Disposition"].startswith("attachment; filename*=utf-8''b%C3%BCcher")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Type"] == "application/octet-stream"
    assert Event.objects.filter(verb="datasetversion.downloaded", object_id=version.pk).count() == 1


@pytest.mark.parametrize(
    ("scopes", "method", "path"),
    [
        (["models:read"], "get", "datasets"),
        (["datasets:read"], "post", "datasets"),
        (["datasets:read"], "put", "dataset-versions/{version}/file"),
        (["datasets:read", "datasets:write"], "post", "training-runs"),
        (["datasets:read"], "get", "training-runs"),
        (["datasets:read"], "get", "models"),
    ],
)
def test_a_token_does_only_what_its_scopes_say(shop, analyst, scopes, method, path):
    version = make_version(analyst, shop, checked=True)
    narrow = Api(analyst, shop, scopes)
    bodies = {
        "datasets": {"name": "new"},
        "training-runs": {
            "dataset_version": version.pk, "model": "m", "algorithms": [{"algorithm": "als"}],
        },
        "dataset-versions/{version}/file": ratings_csv(),
    }  # fmt: skip
    arguments = [] if method == "get" else [bodies[path]]
    answer = getattr(narrow, method)(path.format(version=version.pk), *arguments)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert not TrainingRun.objects.exists()


def test_a_viewer_reads_but_does_not_download(shop, analyst):
    version = make_version(analyst, shop)
    client = Client()
    client.force_login(make_actor(shop, Role.VIEWER).user)
    shown = client.get(f"/api/v1/dataset-versions/{version.pk}")
    assert shown.status_code == 200
    assert b"sample_rows" not in shown.content
    assert client.get(f"/api/v1/dataset-versions/{version.pk}/file").status_code == 403


def test_lists_know_their_filters(api, shop, analyst):
    version = make_version(analyst, shop, checked=True)
    start_runs(analyst, version)
    assert len(api.get("training-runs?role=candidate").json()["results"]) == 1
    assert api.get("training-runs?status=flying").status_code == 400
    assert api.get("training-runs?owner=me").status_code == 400
    assert api.get("datasets?page_size=0").status_code == 400


def test_lists_of_any_length_cost_the_same_queries(api, shop, analyst, django_assert_num_queries):
    version = make_version(analyst, shop, checked=True)
    for path in ("datasets", "training-runs", "model-versions", f"datasets/{version.dataset_id}/versions"):
        api.get(path)
    start_runs(analyst, version, "item_knn", "als")
    with django_assert_num_queries(4):  # token, its last use, memberships, page
        few = api.get("training-runs").json()["results"]
    start_runs(analyst, version, "item_knn", "als", seed=2)
    with django_assert_num_queries(4):
        more = api.get("training-runs").json()["results"]
    assert (len(few), len(more)) == (3, 6)


def test_a_number_that_json_does_not_know_is_refused(api, shop, analyst):
    body = json.dumps({"name": "x"}).replace('"x"', "NaN")
    headers = {**api.headers, "Idempotency-Key": "k"}
    answer = api.client.post("/api/v1/datasets", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert not Dataset.objects.exists()
