"""An integrator does the whole chain over HTTP: from a token to a rollback."""

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

from portal.demo.client import ApiError, Client
from tests.shops import QUICK, LiveShop

DEADLINE_MS = 5 * 300.0


@pytest.fixture(scope="module")
def live(shop: LiveShop, files) -> LiveShop:
    """The shop with popularity live, and ALS ready to follow."""
    version = shop.upload(*files)
    shop.versions = shop.train(version, "popularity", "als")
    shop.data = version
    shop.go_live(shop.versions[0])
    return shop


def ask(stack, path: str, method: str = "GET", body: bytes | None = None, headers: dict | None = None):
    base = urlsplit(stack.gateway_url)
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null"), answer.headers
    finally:
        connection.close()


def shoppers(live: LiveShop, n: int = 100) -> list[str]:
    return live.program.get(f"model-versions/{live.versions[1]}/shoppers", n=n)["shoppers"]


def test_the_first_release_answers_with_titles_and_leaves_out_what_was_seen(live):
    user = shoppers(live)[-1]
    status, answer, headers = ask(live.stack, f"/{live.slug}/home/recommendations?user={user}&k=10")
    assert status == 200
    assert answer["release"] == 1
    assert answer["served_by"] == "popularity"
    assert answer["recommendation_id"].startswith("rec_")
    assert all(item["title"] for item in answer["items"])
    seen = live.program.get(f"model-versions/{live.versions[0]}/preview", user=user, k=10)
    assert not {item["item_id"] for item in answer["items"]} & {line["item_id"] for line in seen["history"]}
    assert headers["Cache-Control"] == "private, no-store"


def test_a_canary_goes_to_everybody_under_traffic_and_one_click_takes_it_back(live):
    traffic = live.traffic(shoppers(live), rate=150)
    traffic.start()
    try:
        rollout = live.go_live(live.versions[1], QUICK)
        assert live.program.get(f"deployments/{live.deployment}")["stable"]["number"] == 2
        back = live.people["operator"].post(f"deployments/{live.deployment}/rollback", {"to_release": None})
        live.wait_rollout(back["id"], "succeeded")
        assert live.program.get(f"deployments/{live.deployment}")["stable"]["number"] == 1
        time.sleep(1)
    finally:
        traffic.stop()
    assert not traffic.failures
    assert set(traffic.answers) == {1, 2}
    assert {verdict["verdict"] for verdict in rollout_verdicts(live, rollout["id"])} >= {"pass"}
    measured = measured_of(live, back["id"])
    assert measured["routes_running_ms"] <= DEADLINE_MS
    assert (measured["last_other_answer_ms"] or 0) <= DEADLINE_MS


def rollout_verdicts(live, rollout):
    return live.program.get(f"rollouts/{rollout}")["verdicts"]


def measured_of(live, rollout):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        measured = live.program.get(f"rollouts/{rollout}")["measured"]
        if measured.get("routes_running_ms") is not None:
            return measured
        time.sleep(0.2)
    raise AssertionError("no gateway reported a measurement")


def test_live_numbers_tell_what_each_release_did(live):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        arms = {
            arm["number"]: arm
            for arm in live.program.get(f"deployments/{live.deployment}/metrics", window="5m")["arms"]
        }
        if {1, 2} <= set(arms) and arms[2]["requests"] > 100 and arms[2]["p95_ms"]:
            break
        time.sleep(0.5)
    assert arms[1]["errors"] == arms[2]["errors"] == 0
    assert 0 < arms[2]["p50_ms"] <= arms[2]["p95_ms"] <= arms[2]["p99_ms"]


def test_a_click_is_credited_to_the_release_whose_server_signed_the_list(live):
    user = shoppers(live)[-1]
    _, answer, _ = ask(live.stack, f"/{live.slug}/home/recommendations?user={user}&k=3")
    click = {
        "event_id": f"click-{time.time()}",
        "type": "recommendation-click",
        "user_id": user,
        "item_id": answer["items"][0]["item_id"],
        "recommendation_id": answer["recommendation_id"],
        "position": 1,
    }
    forged = {**click, "event_id": "forged", "recommendation_id": answer["recommendation_id"][:-6] + "AAAAAA"}
    taken = live.program.post("events", [click, click, forged])
    assert (taken["accepted"], taken["duplicates"]) == (1, 1)
    assert [each["code"] for each in taken["rejected"]] == ["forged_recommendation_id"]
    deadline = time.monotonic() + 30
    while True:
        metrics = live.program.get(f"deployments/{live.deployment}/metrics", window="5m")
        clicks = {arm["number"]: arm["feedback"]["clicks"] for arm in metrics["arms"]}
        if any(clicks.values()):
            break
        assert time.monotonic() < deadline, metrics
        time.sleep(0.2)
    assert clicks == {**dict.fromkeys(clicks, 0), answer["release"]: 1}


def test_an_unknown_shopper_gets_best_sellers_and_is_told_so(live):
    _, answer, _ = ask(live.stack, f"/{live.slug}/home/recommendations?user=nobody-{time.time()}")
    assert answer["fallback_reason"] == "unknown_user"
    assert len(answer["items"]) == 10


def test_similar_items_and_the_open_inference_protocol_answer_through_the_gateway(live):
    _, answer, _ = ask(live.stack, f"/{live.slug}/home/recommendations?user={shoppers(live)[-1]}")
    item = answer["items"][0]["item_id"]
    status, similar, _ = ask(live.stack, f"/{live.slug}/home/items/{item}/similar?k=3")
    assert status == 200
    assert len(similar["items"]) == 3
    status, ready, _ = ask(live.stack, f"/{live.slug}/home/v2/health/ready")
    assert (status, ready["ready"]) == (200, True)
    body = {
        "id": "7",
        "inputs": [{"name": "user_id", "shape": [1, 1], "datatype": "BYTES", "data": [shoppers(live)[0]]}],
    }
    status, inferred, _ = ask(
        live.stack,
        f"/{live.slug}/home/v2/models/main/infer",
        "POST",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    assert status == 200
    assert inferred["id"] == "7"
    assert {output["name"] for output in inferred["outputs"]} == {"item_ids", "scores"}


def test_a_keyed_placement_answers_only_with_its_key_until_it_is_revoked(live):
    admin = live.people["admin"]
    environment = live.program.get(f"deployments/{live.deployment}")["environment"]
    placement = admin.post(
        "deployments", {"environment": environment, "slug": "basket", "name": "the basket", "is_open": False}
    )
    asked = live.program.post(
        "promotions", {"model_version": live.versions[1], "deployment": placement["id"]}
    )
    approved = live.people["approver"].post(
        f"promotions/{asked['id']}/approve", {"comment": "First release."}
    )
    live.wait_rollout(approved["rollouts"][-1], "succeeded")
    key = live.people["operator"].post(f"deployments/{placement['id']}/keys", {"name": "site"})
    path = f"/{live.slug}/basket/recommendations?user=u1"
    bearer = {"Authorization": f"Bearer {key['key']}"}
    wait_for_status(live.stack, path, bearer, 200)
    assert ask(live.stack, path)[0] == 401
    live.people["operator"].delete(f"deployments/{placement['id']}/keys/{key['id']}")
    wait_for_status(live.stack, path, bearer, 401)


def wait_for_status(stack, path, headers, wanted):
    deadline = time.monotonic() + 10
    while (status := ask(stack, path, headers=headers)[0]) != wanted:
        assert time.monotonic() < deadline, f"still {status}"
        time.sleep(0.1)


def test_an_approver_who_asks_cannot_approve_either(live):
    approver = live.people["approver"]
    asked = approver.post("promotions", {"model_version": live.versions[1], "deployment": live.deployment})
    with pytest.raises(ApiError) as refused:
        approver.post(f"promotions/{asked['id']}/approve", {"comment": "Mine."})
    assert refused.value.status == 403
    approver.post(f"promotions/{asked['id']}/withdraw")


def test_tokens_never_approve_and_the_requester_never_does(live):
    asked = live.program.post(
        "promotions", {"model_version": live.versions[1], "deployment": live.deployment}
    )
    for caller in (live.program, live.people["analyst"], live.people["viewer"], live.people["operator"]):
        with pytest.raises(ApiError) as refused:
            caller.post(f"promotions/{asked['id']}/approve", {"comment": "I want it."})
        assert refused.value.status == 403
    live.people["approver"].post(f"promotions/{asked['id']}/reject", {"comment": "Only a test."})


def test_errors_are_problems_and_point_at_the_place(live):
    with pytest.raises(ApiError) as refused:
        live.program.post(
            "training-runs",
            {
                "dataset_version": live.data,
                "model": "main",
                "algorithms": [{"algorithm": "als", "config": {"factors": -1}}],
            },
        )
    assert refused.value.status in (400, 422)
    assert "factors" in json.dumps(refused.value.problem["errors"])
    stranger = Client(live.stack.portal_url, token="aisle_x_y")
    with pytest.raises(ApiError) as refused:
        stranger.get("datasets")
    stranger.close()
    assert refused.value.status == 401


def test_the_openapi_document_names_every_path_the_chain_used(live):
    document = live.program.get("openapi.json")
    assert document["openapi"].startswith("3.")
    for path in (
        "datasets",
        "training-runs",
        "promotions",
        "deployments/{deployment_id}/rollback",
        "jobs/{job_id}",
    ):
        assert f"/api/v1/{path}" in document["paths"]
