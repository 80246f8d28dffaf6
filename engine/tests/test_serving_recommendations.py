"""The lists that a model server gives, over HTTP, against a real process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import Estimator
from engine.serving.attribution import read
from engine.tests.serving_process import (
    EMPTY,
    FILLED,
    ITEMS,
    KEY,
    N_ITEMS,
    ODD_IDS,
    USERS,
    Reply,
    RunningServer,
    SmallArtifact,
    history,
    make_artifact,
    ratings,
    running,
    server_config,
)

SEEN = history()


def has(user: str) -> set[str]:
    return {ITEMS[at] for at in SEEN[USERS.index(user)].indices}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> SmallArtifact:
    return make_artifact(tmp_path_factory.mktemp("als") / "artifact")


@pytest.fixture(scope="module")
def server(artifact: SmallArtifact) -> Iterator[RunningServer]:
    with running(server_config(artifact.folder.parent, artifact)) as started:
        started.wait_until_ready()
        yield started


def test_the_answer_has_the_documented_members(server: RunningServer) -> None:
    reply = server.recommend("u3", "&k=5", headers={"x-aisle-arm": "rel_1", "x-aisle-variant": "canary"})
    assert reply.status == 200
    answer = reply.json
    assert set(answer) == {
        "recommendation_id", "release_id", "release", "model", "model_version", "variant", "served_by",
        "fallback_reason", "cache", "took_ms", "items",
    }  # fmt: skip
    assert answer["release_id"] == "rel_1"
    assert answer["release"] == 4
    assert (answer["model"], answer["model_version"]) == ("shop-main", "17")
    assert (answer["variant"], answer["served_by"], answer["fallback_reason"]) == ("canary", "als", None)
    assert 0 < answer["took_ms"] < 5000
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert set(answer["items"][0]) == {"item_id", "rank", "score", "title", "category", "price"}


def test_headers_name_the_release_and_forbid_caching(server: RunningServer) -> None:
    headers = server.recommend("u3").headers
    assert headers["x-release-id"] == "rel_1"
    parts = [each.partition(";dur=") for each in headers["server-timing"].split(", ")]
    assert [name for name, _, _ in parts] == ["cache", "model", "rules"]
    assert all(0 <= float(dur) < 1000 for _, _, dur in parts)
    assert headers["cache-control"] == "private, no-store"
    assert headers["content-type"] == "application/json"


def test_facts_come_with_items_and_are_null_when_unknown(server: RunningServer) -> None:
    items = {item["item_id"]: item for item in server.recommend(EMPTY, f"&k={N_ITEMS}").json["items"]}
    assert items["i0"] | {"rank": 0, "score": 0} == {
        "item_id": "i0", "rank": 0, "score": 0, "title": "Title of i0", "category": "shoes", "price": 0.0,
    }  # fmt: skip
    assert items["i2"]["category"] is None
    assert items["i3"]["price"] is None
    assert items["i4"]["title"] is None


def test_online_equals_offline_for_every_user(server: RunningServer, artifact: SmallArtifact) -> None:
    users = np.arange(len(USERS) - 2)
    offline = artifact.estimator.recommend(users, 10, seen=SEEN[users])
    for user in users:
        reply = server.recommend(USERS[user])
        assert reply.items == [ITEMS[at] for at in offline.items[user] if at >= 0]
        scores = [item["score"] for item in reply.json["items"]]
        assert scores == pytest.approx(offline.scores[user].tolist(), rel=1e-5)


def test_get_and_post_give_the_same_lists(server: RunningServer) -> None:
    for user in USERS[:10]:
        by_get = server.recommend(user, "&k=7").json["items"]
        assert server.recommend(user, "&k=7", {}).json["items"] == by_get
        assert server.recommend(user, "&k=7", b"", method="POST").json["items"] == by_get


def test_what_a_shopper_has_is_never_shown(server: RunningServer) -> None:
    for user in USERS[:-1]:
        assert not has(user) & set(server.recommend(user, "&k=100").items)


def test_whoever_has_everything_gets_an_empty_list_and_the_reason(server: RunningServer) -> None:
    before = server.metric("aisle_empty_total")
    answer = server.recommend(FILLED).json
    assert answer["items"] == []
    assert answer["fallback_reason"] == "all_seen"
    assert server.metric("aisle_empty_total") == before + 1


def test_an_unknown_shopper_gets_what_is_popular(server: RunningServer) -> None:
    reply = server.recommend("nobody", "&k=4")
    chosen = np.asarray(SEEN.sum(axis=0)).ravel()
    best = [ITEMS[at] for at in np.argsort(-chosen, kind="stable")[:4]]
    assert (reply.json["served_by"], reply.json["fallback_reason"]) == ("popularity", "unknown_user")
    assert reply.items == best


def test_a_known_shopper_without_history_gets_what_is_popular(server: RunningServer) -> None:
    answer = server.recommend(EMPTY).json
    assert (answer["served_by"], answer["fallback_reason"]) == ("popularity", "no_history")


def test_an_unknown_shopper_with_a_known_cart_gets_the_model(server: RunningServer) -> None:
    even = ITEMS[:20:2]
    reply = server.recommend("nobody", "&k=8", {"context": {"item_id": even[0], "cart": [*even[1:6], "new"]}})
    assert (reply.json["served_by"], reply.json["fallback_reason"]) == ("als", None)
    assert not set(reply.items) & set(even[:6])
    own_taste = [name for name in reply.items if ITEMS.index(name) % 2 == 0]
    assert len(own_taste) >= 7, "the cart's taste must lead"


def test_a_known_shopper_with_a_cart_gets_another_list_without_the_cart(server: RunningServer) -> None:
    plain = server.recommend("u2")
    odd = [ITEMS[at] for at in range(1, 12, 2)]
    with_cart = server.recommend("u2", body={"context": {"cart": odd}})
    assert with_cart.json["served_by"] == "als"
    assert with_cart.items != plain.items
    assert not (set(odd) | has("u2")) & set(with_cart.items)


def test_a_cart_of_unknown_items_changes_nothing(server: RunningServer) -> None:
    answer = server.recommend("nobody", body={"context": {"cart": ["new"]}}).json
    assert answer["fallback_reason"] == "unknown_user"


def test_excluded_items_stay_out_by_get_and_by_post(server: RunningServer) -> None:
    first = server.recommend("u5", "&k=6").items
    expected = server.recommend("u5", "&k=8").items[2:]
    assert server.recommend("u5", f"&k=6&exclude={first[0]},{first[1]},not-there").items == expected
    assert server.recommend("u5", f"&k=6&exclude={first[0]}&exclude={first[1]}").items == expected
    assert server.recommend("u5", "&k=6", {"exclude": first[:2]}).items == expected


def test_an_id_with_a_comma_can_be_excluded_when_it_is_encoded(server: RunningServer) -> None:
    assert "i,comma" in server.recommend(EMPTY, "&k=100").items
    assert "i,comma" not in server.recommend(EMPTY, "&k=100&exclude=i%2Ccomma").items


def test_excluding_everything_gives_nothing_and_says_so(server: RunningServer) -> None:
    answer = server.recommend("u1", body={"exclude": ITEMS}).json
    assert answer["items"] == []
    assert answer["fallback_reason"] == "nothing_left"


def test_filters_keep_to_category_and_price(server: RunningServer) -> None:
    filters = {"category": ["shoes", "no such"], "price_max": 12}
    for user in ("u1", "nobody"):
        items = server.recommend(user, "&k=100", {"filters": filters}).json["items"]
        assert items
        assert {item["category"] for item in items} == {"shoes"}
        assert all(item["price"] <= 12 for item in items)


def test_an_unknown_price_does_not_pass_a_price_filter(server: RunningServer) -> None:
    items = server.recommend("nobody", "&k=100", {"filters": {"price_max": 1000}}).items
    assert "i3" not in items
    assert len(items) == N_ITEMS - 1


def test_k_beyond_the_catalogue_gives_what_there_is(server: RunningServer) -> None:
    assert len(server.recommend("u1", "&k=100").items) == N_ITEMS - len(has("u1"))
    assert len(server.recommend("u1").items) == 10


def test_an_explanation_names_items_that_the_shopper_has(server: RunningServer) -> None:
    reply = server.recommend("u7", "&k=5", {"explain": True})
    for item in reply.json["items"]:
        reasons = item["contributions"]
        assert reasons
        assert {reason["item_id"] for reason in reasons} <= has("u7")
        title = reasons[0]["title"] or reasons[0]["item_id"]
        assert item["reason"] == f"Because of {title}"
    assert reply.items == server.recommend("u7", "&k=5").items


def test_ids_are_read_as_uploads_read_them(server: RunningServer) -> None:
    assert server.recommend(" u3 ").json["fallback_reason"] is None
    assert server.recommend("U3").json["fallback_reason"] == "unknown_user"
    assert server.recommend("03").json["fallback_reason"] == "unknown_user"
    decomposed = server.ask("/s/d/items/i%CC%88tem%20e%CC%81/similar")  # NFD of the id in the model
    assert decomposed.json["fallback_reason"] is None


def test_similar_items_leave_out_the_item_itself(server: RunningServer, artifact: SmallArtifact) -> None:
    reply = server.ask("/shop/home/items/i6/similar?k=5")
    offline = artifact.estimator.similar_items(np.array([6]), 5)
    assert reply.items == [ITEMS[at] for at in offline.items[0]]
    assert reply.json["served_by"] == "als"
    assert "i6" not in server.ask("/shop/home/items/i6/similar?k=100").items
    without = server.ask(f"/shop/home/items/i6/similar?k=4&exclude={reply.items[0]}").items
    assert without == reply.items[1:]


@pytest.mark.parametrize("item", ODD_IDS)
def test_similar_items_of_ids_with_odd_characters(server: RunningServer, item: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in item.encode())
    reply = server.ask(f"/shop/home/items/{encoded}/similar?k=3")
    assert reply.json["fallback_reason"] is None
    assert len(reply.items) == 3


def test_similar_to_an_unknown_item_is_what_is_popular(server: RunningServer) -> None:
    reply = server.ask("/shop/home/items/brand-new/similar?k=3")
    assert (reply.json["served_by"], reply.json["fallback_reason"]) == ("popularity", "unknown_item")
    assert reply.items == server.ask("/shop/home/trending?k=3").items


def test_trending_is_what_most_shoppers_chose(server: RunningServer) -> None:
    answer = server.ask("/shop/home/trending?k=40").json
    scores = [item["score"] for item in answer["items"]]
    assert (answer["served_by"], answer["fallback_reason"]) == ("popularity", None)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == SEEN.sum(axis=0).max()


def test_a_session_gets_the_model_from_the_items_it_names(server: RunningServer) -> None:
    odd = [ITEMS[at] for at in range(1, 12, 2)]
    reply = server.ask("/shop/home/session?session=s1&k=5", {"items": odd})
    assert (reply.json["served_by"], reply.json["fallback_reason"]) == ("als", None)
    assert not set(reply.items) & set(odd)
    assert all(ITEMS.index(name) % 2 for name in reply.items)


def test_a_session_of_unknown_items_gets_what_is_popular(server: RunningServer) -> None:
    answer = server.ask("/shop/home/session?session=s1", {"items": ["new"]}).json
    assert (answer["served_by"], answer["fallback_reason"]) == ("popularity", "unknown_items")


def test_an_answer_for_another_arm_says_that_it_failed(server: RunningServer) -> None:
    before = server.metric("aisle_fallback_total", reason="arm_failed")
    answer = server.recommend("u3", headers={"x-aisle-arm": "rel_2", "x-aisle-variant": "canary"}).json
    assert (answer["served_by"], answer["fallback_reason"]) == ("stable", "arm_failed")
    assert (answer["release_id"], answer["variant"]) == ("rel_1", "canary")
    assert server.metric("aisle_fallback_total", reason="arm_failed") == before + 1


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("recommendations/batch", {"users": ["u3", "nobody"]}),
        (
            "v2/models/shop-main/infer",
            {"inputs": [{"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u3", "nobody"]}]},
        ),
    ],
)
def test_an_answer_to_many_for_another_arm_says_so_too(
    server: RunningServer, target: str, body: dict[str, object]
) -> None:
    def fallbacks() -> list[float]:
        reasons = ("arm_failed", "unknown_user")
        return [server.metric("aisle_fallback_total", reason=reason) for reason in reasons]

    before = fallbacks()
    own = server.ask(f"/shop/home/{target}", body, headers={"x-aisle-arm": "rel_1"}).json
    assert "arm_failed" not in str(own)
    before[1] += 1
    assert fallbacks() == before
    answer = server.ask(f"/shop/home/{target}", body, headers={"x-aisle-arm": "rel_2"}).json
    for each in answer.get("results", [answer.get("parameters")]):
        assert (each["served_by"], each["fallback_reason"]) == ("stable", "arm_failed")
    before[0] += 2
    assert fallbacks() == before


def test_the_recommendation_id_says_who_served_and_cannot_be_forged(server: RunningServer) -> None:
    headers = {"x-aisle-arm": "rel_1", "x-aisle-variant": "canary"}
    name = server.recommend("u3", headers=headers).json["recommendation_id"]
    found = read(KEY, name)
    assert (found.release, found.deployment, found.variant) == ("rel_1", "dep_1", "canary")
    with pytest.raises(ValueError, match="not issued"):
        read(b"another key, of another release!", name)


def test_answers_are_counted_and_measurements_are_not(server: RunningServer) -> None:
    def counts() -> tuple[float, float, float]:
        return (
            server.metric("aisle_recommendations_total"),
            server.metric("aisle_recommendation_duration_seconds_count", stage="total"),
            server.metric("aisle_fallback_total", reason="unknown_user"),
        )

    before = counts()
    for user in ("u1", "u2", "nobody"):
        server.recommend(user)
    assert counts() == (before[0] + 3, before[1] + 3, before[2] + 1)
    for user in ("u1", "nobody"):
        assert server.recommend(user, headers={"x-aisle-probe": "1"}).status == 200
    assert counts() == (before[0] + 3, before[1] + 3, before[2] + 1)


def test_metrics_have_few_labels_and_name_the_artifact(
    server: RunningServer, artifact: SmallArtifact
) -> None:
    for n in range(40):
        server.recommend("secret-shopper", headers={"x-aisle-variant": f"v{'abcdefghij'[n % 10]}{n}"})
        server.recommend("u1", headers={"x-aisle-variant": "abcdefghij"[n % 10] * 3})
    text = server.ask("/metrics").body.decode()
    assert f'digest="{artifact.digest}"' in text
    assert "secret-shopper" not in text
    variants = {line.split('variant="')[1].split('"')[0] for line in text.splitlines() if "variant=" in line}
    assert len(variants) <= 10


@pytest.mark.parametrize("algorithm", ["popularity", "item_knn"])
def test_other_algorithms_are_served_alike(algorithm: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    artifact = make_artifact(tmp_path_factory.mktemp(algorithm) / "artifact", algorithm, facts=False)
    with running(server_config(artifact.folder.parent, artifact)) as server:
        server.wait_until_ready()
        users = np.arange(20)
        offline = artifact.estimator.recommend(users, 6, seen=SEEN[users])
        for user in users:
            reply = server.recommend(USERS[user], "&k=6")
            assert reply.items == [ITEMS[at] for at in offline.items[user] if at >= 0]
            assert reply.json["served_by"] == algorithm
            assert reply.json["items"][0]["title"] is None
        assert server.ask("/a/b/items/i2/similar?k=3").json["items"]
        assert server.recommend("new", body={"context": {"cart": ["i2"]}}).json["served_by"] == algorithm
        assert server.recommend("u1", body={"filters": {"category": ["shoes"]}}).items == []


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("biased_mf", {"factors": 4, "epochs": 40, "learning_rate": 0.02}),
        ("user_knn", {"weighting": "pearson"}),
        ("als", {"factors": 8, "values": "confidence"}),
    ],
)
def test_models_of_values_are_served_with_the_values_that_they_learned_from(
    algorithm: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    seen = ratings()
    artifact = make_artifact(tmp_path / "artifact", algorithm, settings=settings, seen=seen)
    model: Estimator = artifact.estimator

    def with_values(row: sp.csr_matrix, items: list[int], value: float) -> sp.csr_matrix:
        dense = row.toarray()
        dense[0, items] = value
        return sp.csr_matrix(dense)

    def check(reply: Reply, row: sp.csr_matrix) -> None:
        """Assert that a list and its reasons are those that the estimator gives this row."""
        expected = model.recommend(model.fold_in(row), 4, seen=row)
        found = reply.json["items"]
        assert [item["item_id"] for item in found] == [ITEMS[at] for at in expected.items[0]]
        for item, at, score in zip(found, expected.items[0], expected.scores[0], strict=True):
            reasons = model.explain(row, int(at), 3)
            assert item["score"] == pytest.approx(float(score), rel=1e-3)
            assert item["score"] == pytest.approx(reasons.score, rel=1e-3)
            told = {part["item_id"]: part["contribution"] for part in item["contributions"]}
            known = {ITEMS[owned] for owned in reasons.items}
            assert set(told) == known
            assert sorted(told.values()) == pytest.approx(sorted(reasons.contributions.tolist()), rel=1e-3)

    with running(server_config(tmp_path, artifact)) as server:
        server.wait_until_ready()
        for user in (0, 7, 20):
            row = seen[user]
            check(server.recommend(USERS[user], "&k=4", {"explain": True}), row)
            new = next(at for at in range(N_ITEMS) if at not in row.indices)
            cart = {"context": {"cart": [ITEMS[new], ITEMS[row.indices[0]]]}, "explain": True}
            in_cart = server.recommend(USERS[user], "&k=4", cart)
            check(in_cart, with_values(row, [new], row.data.mean()))
        session = server.ask("/s/d/session?session=s1&k=4", {"items": [ITEMS[0], ITEMS[2]], "explain": True})
        if algorithm == "user_knn":  # equal values have no correlation with anybody's
            assert session.json["fallback_reason"] == "no_candidates"
        else:
            check(
                session, with_values(sp.csr_matrix((1, N_ITEMS), dtype=np.float32), [0, 2], seen.data.mean())
            )


def test_the_same_question_is_answered_from_the_cache_and_another_is_not(server: RunningServer) -> None:
    hits, misses = (server.metric("aisle_cache_requests_total", result=r) for r in ("hit", "miss"))
    body = {"filters": {"category": ["shoes"]}, "exclude": ["i2"]}
    questions = [
        ("u40", "&k=3", None), ("u41", "&k=3", None), ("u40", "&k=4", None), ("u40", "&k=3", body),
        ("u40", "&k=3&exclude=i2", None), ("u40", "&k=3&explain=1", None),
        ("u40", "&k=3", {"context": {"cart": ["i5"]}}),
    ]  # fmt: skip
    first = [server.recommend(*each).json for each in questions]
    assert [answer["cache"] for answer in first] == ["miss"] * len(questions)
    again = [server.recommend(*each) for each in questions]
    for before, after in zip(first, again, strict=True):
        assert after.json["cache"] == "hit"
        assert "model;dur=0.000" in after.headers["server-timing"]
        own = {"recommendation_id", "took_ms", "cache"}
        assert {k: v for k, v in before.items() if k not in own} == {
            k: v for k, v in after.json.items() if k not in own
        }
        assert before["recommendation_id"] != after.json["recommendation_id"]
    assert server.metric("aisle_cache_requests_total", result="hit") == hits + len(questions)
    assert server.metric("aisle_cache_requests_total", result="miss") == misses + len(questions)


def test_an_arm_that_failed_is_told_although_the_list_is_kept(server: RunningServer) -> None:
    assert server.recommend("u42").json["fallback_reason"] is None
    other = server.recommend("u42", headers={"x-aisle-arm": "rel_2"}).json
    assert (other["cache"], other["served_by"], other["fallback_reason"]) == ("hit", "stable", "arm_failed")


def test_unknown_shoppers_share_one_kept_list(server: RunningServer) -> None:
    server.recommend("never seen 1", "&k=9")
    assert server.recommend("never seen 2", "&k=9").json["cache"] == "hit"


def test_a_batch_holds_the_lists_of_all_its_users(server: RunningServer) -> None:
    users = [*USERS[:40], "nobody", FILLED]
    body = {"users": users, "exclude": ["i3"], "filters": {"price_max": 30}}
    shoppers, lists = (
        server.metric("aisle_recommendations_total", endpoint=endpoint) for endpoint in ("list", "batch")
    )
    reply = server.ask("/s/d/recommendations/batch?k=4", body, headers={"x-aisle-variant": "stable"})
    # Whom a batch names says nothing of how the shoppers fare who come.
    assert server.metric("aisle_recommendations_total", endpoint="list") == shoppers
    assert server.metric("aisle_recommendations_total", endpoint="batch") == lists + len(users)
    assert reply.status == 200
    answer = reply.json
    assert (answer["release_id"], answer["model_version"], answer["variant"]) == ("rel_1", "17", "stable")
    assert [each["user_id"] for each in answer["results"]] == users
    for each in answer["results"]:
        alone = server.recommend(each["user_id"], "&k=4", {"exclude": ["i3"], "filters": {"price_max": 30}})
        assert [item["item_id"] for item in each["items"]] == alone.items
        assert each["fallback_reason"] == alone.json["fallback_reason"]
        signed = read(KEY, each["recommendation_id"])
        assert (signed.release, signed.variant) == ("rel_1", "batch")
    assert len({each["recommendation_id"] for each in answer["results"]}) == len(users)
