"""The chain as an integrator drives it, from a file to a registered version, and what is refused on it."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from models_app.models import DatasetVersion, TrainingRun
from models_app.services.checking import check_version
from models_app.services.fitting import run_training
from models_app.tests.factories import items_csv, make_version, ratings_csv
from portal.core.storage import scratch_root

pytestmark = pytest.mark.django_db


def run_jobs():
    """Do what workers would: everything that is queued."""
    for version in DatasetVersion.objects.filter(status="checking"):
        check_version(version.pk)
    for run in TrainingRun.objects.filter(status="queued").order_by("created_at"):
        run_training(run.pk)


def test_an_integrator_goes_from_a_file_to_a_registered_version(api, open_version):
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
    light = next(row for row in compared["segments"] if row["name"] == "light")
    assert [cell["n"] for cell in light["cells"]] == [60, 60, 60]
    own = next(each for each in shown["segments"] if each["name"] == "light")
    assert own["metrics"]["ndcg@10"] == light["cells"][1]["metrics"]["ndcg@10"]
    assert not any("segments" in run or "gaps" in run for run in listed)
    sellers = next(row for row in compared["gaps"] if row["kind"] == "sellers")
    assert sellers["cells"][1]["value"] == shown["gaps"]["sellers"]["gap"]
    assert shown["gaps"]["shoppers"]["groups"]["light"]["n"] == 60

    version = api.get(f"model-versions/{shown['model_version']}").json()
    assert version["lineage"]["dataset_version"] == open_version
    assert version["segments"] == shown["segments"]
    assert version["gaps"] == shown["gaps"]
    assert api.get(f"model-versions/{version['id']}/card").content.startswith(b"---\n")
    manifest = api.get(f"model-versions/{version['id']}/manifest").json()
    assert manifest["algorithm"] == "item_knn"
    preview = api.get(f"model-versions/{version['id']}/preview?user=u3&k=5").json()
    assert [line["rank"] for line in preview["items"]] == [1, 2, 3, 4, 5]
    assert all(line["title"].startswith("Product number") for line in preview["items"])
    assert not {line["item_id"] for line in preview["items"]} & {
        line["item_id"] for line in preview["history"]
    }
    assert all((line["reason"], line["contributions"]) == (None, []) for line in preview["items"])
    told = api.get(f"model-versions/{version['id']}/preview?user=u3&k=5&explain=true").json()
    assert [line["item_id"] for line in told["items"]] == [line["item_id"] for line in preview["items"]]
    assert all(line["reason"].startswith("Because of Product number") for line in told["items"])
    stranger = api.get(f"model-versions/{version['id']}/preview?user=nobody").json()
    assert (stranger["is_known"], len(stranger["items"])) == (False, 10)
    shoppers = api.get(f"model-versions/{version['id']}/shoppers?n=7").json()["shoppers"]
    assert len(set(shoppers)) == 7
    wrong = ["shoppers?n=0", "shoppers?n=1001", "preview?user=u1&k=1.5", "preview?k=5", "preview?user="]
    for query in (*wrong, "preview?user=u1&explain=maybe", "preview?user=u1&k=21&explain=1"):
        assert api.get(f"model-versions/{version['id']}/{query}").status_code == 400
    assert api.get("models").json()["results"][0]["newest_number"] == 2


def test_a_form_uploads_like_a_raw_body(api, open_version):
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
