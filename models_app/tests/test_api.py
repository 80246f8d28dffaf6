"""The chain as an integrator drives it, from a file to a registered version, and what is refused on it."""

import json
from uuid import uuid4

import pytest
from django.test import Client

from models_app.models import Dataset, DatasetVersion, TrainingRun
from models_app.tests.factories import (
    items_csv,
    make_version,
    ratings_csv,
    start_runs,
    train,
)
from portal.core.models import Event, Role
from portal.core.testing import make_actor, make_shop
from portal.core.tokens import create_token

pytestmark = pytest.mark.django_db

SCOPES = ["datasets:read", "datasets:write", "training:run", "models:read"]


class Api:
    """A client with one token."""

    def __init__(self, actor, shop, scopes=SCOPES):
        _, text = create_token(actor=actor, shop=shop, name="test", scopes=list(scopes))
        self.headers = {"Authorization": f"Bearer {text}"}
        self.client = Client()

    def get(self, path, **headers):
        return self.client.get(f"/api/v1/{path}", headers={**self.headers, **headers})

    def post(self, path, body=None, key=None):
        headers = {**self.headers, "Idempotency-Key": key or str(uuid4())}
        return self.client.post(
            f"/api/v1/{path}", body or {}, content_type="application/json", headers=headers
        )

    def put(self, path, body, content_type="text/csv"):
        return self.client.put(f"/api/v1/{path}", body, content_type=content_type, headers=self.headers)

    def patch(self, path, body, **headers):
        headers = {**self.headers, **headers}
        return self.client.patch(f"/api/v1/{path}", body, content_type="application/json", headers=headers)


@pytest.fixture
def api(shop, analyst):
    return Api(analyst, shop)


@pytest.fixture
def open_version(api):
    dataset = api.post("datasets", {"name": "ratings"}).json()
    return api.post(f"datasets/{dataset['id']}/versions").json()["id"]


@pytest.fixture
def run_jobs(django_capture_on_commit_callbacks):
    """Do what workers would: everything that is queued."""

    def work():
        from models_app.services.checking import check_version
        from models_app.services.fitting import run_training

        for version in DatasetVersion.objects.filter(status="checking"):
            check_version(version.pk)
        for run in TrainingRun.objects.filter(status="queued").order_by("created_at"):
            run_training(run.pk)

    return work


def test_an_integrator_goes_from_a_file_to_a_registered_version(api, open_version, run_jobs):
    answer = api.put(f"dataset-versions/{open_version}/file?name=ratings.csv", ratings_csv())
    assert answer.status_code == 200, answer.content
    assert answer.json()["roles"] == {"user": 0, "item": 1, "value": 2, "time": 3}
    assert api.put(f"dataset-versions/{open_version}/items?name=items.csv", items_csv()).status_code == 200
    answer = api.post(f"dataset-versions/{open_version}/check")
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/jobs/{open_version}"
    assert answer.json()["state"] == "running"
    run_jobs()
    assert api.get(f"jobs/{open_version}").json()["state"] == "succeeded"

    plan = api.get(f"dataset-versions/{open_version}/plan").json()
    assert {"popularity", "item_knn", "als"} <= {each["name"] for each in plan["algorithms"]}
    body = {
        "dataset_version": open_version,
        "model": "shop-main",
        "algorithms": [{"algorithm": "item_knn"}, {"algorithm": "als", "config": {"factors": 8}}],
    }
    answer = api.post("training-runs", body)
    assert answer.status_code == 202, answer.content
    runs = answer.json()["runs"]
    assert [(run["role"], run["algorithm"]) for run in runs] == [
        ("baseline", "popularity"), ("candidate", "item_knn"), ("candidate", "als"),
    ]  # fmt: skip
    run_jobs()
    listed = api.get(answer["Location"].removeprefix("/api/v1/")).json()["results"]
    assert [run["status"] for run in listed] == ["succeeded"] * 3
    shown = api.get(f"training-runs/{runs[1]['id']}").json()
    assert shown["verdicts"]["popularity"]["verdict"] == "better"
    assert "Done" in api.get(f"training-runs/{runs[1]['id']}/log").json()["log"]
    compared = api.get("comparisons?runs=" + ",".join(run["id"] for run in runs)).json()
    ndcg = next(row for row in compared["metrics"] if row["name"] == "ndcg@10")
    assert sum(cell["is_best"] for cell in ndcg["cells"]) == 1
    assert ndcg["cells"][0]["is_like_best"] is False

    version = api.get(f"model-versions/{shown['model_version']}").json()
    assert version["lineage"]["dataset_version"] == open_version
    assert api.get(f"model-versions/{version['id']}/card").content.startswith(b"---\n")
    manifest = api.get(f"model-versions/{version['id']}/manifest").json()
    assert manifest["algorithm"] == "item_knn"
    preview = api.get(f"model-versions/{version['id']}/preview?user=u3&k=5").json()
    assert [line["rank"] for line in preview["items"]] == [1, 2, 3, 4, 5]
    assert all(line["title"].startswith("Product number") for line in preview["items"])
    assert not {line["item_id"] for line in preview["items"]} & {
        line["item_id"] for line in preview["history"]
    }
    stranger = api.get(f"model-versions/{version['id']}/preview?user=nobody").json()
    assert (stranger["is_known"], len(stranger["items"])) == (False, 10)
    shoppers = api.get(f"model-versions/{version['id']}/shoppers?n=7").json()["shoppers"]
    assert len(set(shoppers)) == 7
    for query in ("shoppers?n=0", "shoppers?n=1001", "preview?user=u1&k=1.5", "preview?k=5", "preview?user="):
        assert api.get(f"model-versions/{version['id']}/{query}").status_code == 400
    assert api.get("models").json()["results"][0]["newest_number"] == 2


def test_a_form_uploads_like_a_raw_body(api, open_version):
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

    part = SimpleUploadedFile("../../etc/my ratings\u202e.csv", ratings_csv())
    body = encode_multipart(BOUNDARY, {"file": part})
    answer = api.put(f"dataset-versions/{open_version}/file", body, MULTIPART_CONTENT)
    assert answer.status_code == 200, answer.content
    assert answer.json()["file_name"] == "my ratings.csv"
    answer = api.put(
        f"dataset-versions/{open_version}/file", encode_multipart(BOUNDARY, {}), MULTIPART_CONTENT
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"user,item,rating\n", 422, "no_rows"),
        (b"PK\x03\x04[Content_Types].xml", 415, "wrong_type"),
        (b"user,item\nu1,\x00\n", 422, "nul_byte"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_at_once(api, open_version, body, status, code):
    answer = api.put(f"dataset-versions/{open_version}/file", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == "/file"
    assert api.get(f"dataset-versions/{open_version}").json()["file_sha256"] == ""


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(api, open_version, settings):
    from portal.core.storage import scratch_root

    settings.UPLOAD_MAX_BYTES = 1000
    answer = api.put(f"dataset-versions/{open_version}/file", ratings_csv())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not list(scratch_root().glob("blob_*"))


def test_the_same_file_twice_is_said(api, shop, analyst, open_version):
    first = make_version(analyst, shop)
    answer = api.put(f"dataset-versions/{open_version}/file", ratings_csv()).json()
    assert answer["same_file_as"] == [first.pk]
    assert answer["file_sha256"] == first.file_sha256


def test_changing_columns_needs_the_version_that_was_read(api, open_version):
    tag = api.put(f"dataset-versions/{open_version}/file", ratings_csv())["ETag"]
    path, change = f"dataset-versions/{open_version}", {"roles": {"user": 1, "item": 0}}
    assert api.patch(path, change).status_code == 428
    changed = api.patch(path, change, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["roles"]) == (200, {"user": 1, "item": 0})
    assert api.patch(path, change, **{"If-Match": tag}).status_code == 412
    assert api.patch(path, change, **{"If-Match": changed["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"roles": {"user": 9, "item": 0}},
        {"roles": {"user": 0, "item": 0}},
        {"roles": {"buyer": 0}},
        {"roles": {"user": "first"}},
        {"status": "ready"},
        {"file_sha256": "0" * 64},
    ],
)
def test_columns_that_cannot_be_are_refused_with_their_field(api, open_version, change):
    tag = api.put(f"dataset-versions/{open_version}/file", ratings_csv())["ETag"]
    answer = api.patch(f"dataset-versions/{open_version}", change, **{"If-Match": tag})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].startswith("/" + next(iter(change)))
    assert DatasetVersion.objects.get().roles["user"] == 0


def test_a_check_without_a_user_column_says_what_is_missing(api, open_version):
    tag = api.put(f"dataset-versions/{open_version}/file", ratings_csv())["ETag"]
    api.patch(f"dataset-versions/{open_version}", {"roles": {"item": 1}}, **{"If-Match": tag})
    answer = api.post(f"dataset-versions/{open_version}/check")
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_role")


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
