"""The Open Inference Protocol V2, bare and behind /{shop}/{deployment}."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import load_artifact
from engine.serving.app import ModelServer
from engine.serving.config import read_config
from engine.serving.model import ServedModel
from engine.tests.serving_process import (
    EMPTY,
    FILLED,
    KEY,
    USERS,
    RunningServer,
    make_artifact,
    running,
    server_config,
)

BASES = ["", "/shop/home"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    artifact = make_artifact(tmp_path_factory.mktemp("als") / "artifact")
    with running(server_config(artifact.folder.parent, artifact)) as started:
        started.wait_until_ready()
        yield started


def tensor(users: list[Any], **changes: Any) -> dict[str, Any]:
    return {"name": "user_id", "shape": [len(users), 1], "datatype": "BYTES", "data": users, **changes}


def k_tensor(k: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "k", "shape": [1], "datatype": "INT32", "data": [k], **changes}


def infer(server: RunningServer, body: Any, path: str = "/v2/models/shop-main/infer") -> Any:
    return server.ask(path, body)


@pytest.mark.parametrize("base", BASES)
def test_the_server_and_its_health(server: RunningServer, base: str) -> None:
    metadata = server.ask(f"{base}/v2").json
    assert set(metadata) == {"name", "version", "extensions"}
    assert server.ask(f"{base}/v2/health/live").json == {"live": True}
    ready = server.ask(f"{base}/v2/health/ready")
    assert (ready.status, ready.json) == (200, {"live": True, "ready": True})


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("model", ["shop-main", "shop-main/versions/17"])
def test_the_model_and_its_tensors(server: RunningServer, base: str, model: str) -> None:
    metadata = server.ask(f"{base}/v2/models/{model}").json
    assert metadata["name"] == "shop-main"
    assert metadata["versions"] == ["17"]
    assert metadata["platform"] == "aisle_npz"
    assert {each["name"]: each["datatype"] for each in metadata["inputs"]} == {
        "user_id": "BYTES",
        "k": "INT32",
        "context_items": "BYTES",
    }
    assert {each["name"]: each["datatype"] for each in metadata["outputs"]} == {
        "item_ids": "BYTES",
        "scores": "FP32",
    }
    ready = server.ask(f"{base}/v2/models/{model}/ready")
    assert (ready.status, ready.json) == (200, {"name": "shop-main", "ready": True})


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("model", ["shop-main", "shop-main/versions/17"])
def test_inference_gives_the_lists_of_the_domain_endpoint(
    server: RunningServer, base: str, model: str
) -> None:
    users = [*USERS[:40], "nobody", EMPTY]
    reply = infer(
        server, {"id": "r-7", "inputs": [tensor(users), k_tensor(6)]}, f"{base}/v2/models/{model}/infer"
    )
    assert reply.status == 200
    assert reply.headers["x-release-id"] == "rel_1"
    answer = reply.json
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-7", "shop-main", "17")
    outputs = {each["name"]: each for each in answer["outputs"]}
    assert outputs["item_ids"]["datatype"] == "BYTES"
    assert outputs["scores"]["datatype"] == "FP32"
    assert outputs["item_ids"]["shape"] == outputs["scores"]["shape"] == [42, 6]
    assert len(outputs["item_ids"]["data"]) == len(outputs["scores"]["data"]) == 42 * 6
    for row, user in enumerate(users):
        alone = server.recommend(user, "&k=6").json["items"]
        assert outputs["item_ids"]["data"][6 * row : 6 * row + 6] == [item["item_id"] for item in alone]
        scores = outputs["scores"]["data"][6 * row : 6 * row + 6]
        assert scores == pytest.approx([item["score"] for item in alone], rel=1e-4)


def test_without_id_and_k_there_is_no_id_and_k_is_ten(server: RunningServer) -> None:
    answer = infer(server, {"inputs": [tensor(["u1"], shape=[1])]}).json
    assert "id" not in answer
    assert answer["outputs"][0]["shape"] == [1, 10]


def test_data_may_be_nested(server: RunningServer) -> None:
    nested = infer(server, {"inputs": [tensor([["u1"], ["u2"]])]}).json
    assert nested["outputs"] == infer(server, {"inputs": [tensor(["u1", "u2"])]}).json["outputs"]


def context_tensor(items: list[Any], **changes: Any) -> dict[str, Any]:
    return {"name": "context_items", "shape": [len(items)], "datatype": "BYTES", "data": items, **changes}


def test_what_a_shopper_looks_at_counts_as_on_the_domain_endpoint(server: RunningServer) -> None:
    items = [each["item_id"] for each in server.recommend("u1").json["items"]][:2]
    body = json.dumps({"context": {"item_id": items[0], "cart": items[1:]}}).encode()
    expected = server.recommend("u1", body=body).json["items"]
    reply = infer(server, {"inputs": [tensor(["u1"]), context_tensor(items)]})
    assert reply.json["outputs"][0]["data"] == [each["item_id"] for each in expected]
    assert not set(items) & set(reply.json["outputs"][0]["data"])


def test_an_inference_says_how_long_the_model_took(server: RunningServer) -> None:
    timing = infer(server, {"inputs": [tensor(USERS[:40])]}).headers["server-timing"]
    times = {name: float(took) for name, took in re.findall(r"(\w+);dur=([\d.]+)", timing)}
    assert set(times) == {"cache", "model", "rules"}
    assert times["model"] > 0


def test_duplicate_users_get_the_same_row(server: RunningServer) -> None:
    data = infer(server, {"inputs": [tensor(["u1", "u1"])]}).json["outputs"][0]["data"]
    assert data[:10] == data[10:]


def test_missing_items_are_empty_and_zero(server: RunningServer) -> None:
    outputs = infer(server, {"inputs": [tensor([FILLED]), k_tensor(3)]}).json["outputs"]
    assert [each["data"] for each in outputs] == [["", "", ""], [0.0, 0.0, 0.0]]


def test_only_the_wanted_outputs_come_back(server: RunningServer) -> None:
    body = {"inputs": [tensor(["u1"])], "outputs": [{"name": "scores"}]}
    assert [each["name"] for each in infer(server, body).json["outputs"]] == ["scores"]


def test_a_thousand_users_are_answered_and_more_refused(server: RunningServer) -> None:
    users = [USERS[n % 50] for n in range(1000)]
    assert infer(server, {"inputs": [tensor(users)]}).json["outputs"][0]["shape"] == [1000, 10]
    reply = infer(server, {"inputs": [tensor([*users, "u1"])]})
    assert reply.status == 413
    assert "1,000" in reply.json["error"]
    large = infer(server, {"inputs": [tensor(users[:201]), k_tensor(100)]})
    assert large.status == 413
    assert "20,000 items in all" in large.json["error"]
    assert infer(server, {"inputs": [tensor(users[:200]), k_tensor(100)]}).status == 200


def test_large_batches_of_both_endpoints_share_four_places(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "artifact")
    app = ModelServer(read_config(server_config(tmp_path, artifact)), KEY)
    app.start(ServedModel(load_artifact(artifact.folder, artifact.digest)))

    async def ask(path: str, body: Any) -> tuple[int, dict[bytes, bytes], Any]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        named = {"method": "POST", "path": path, "raw_path": path.encode()}
        await app({**named, "query_string": b"", "headers": []}, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])

    def tensors(count: int) -> tuple[str, Any]:
        return "/s/d/v2/models/shop-main/infer", {"inputs": [tensor(USERS[:count])]}

    def lists(count: int) -> tuple[str, Any]:
        return "/s/d/recommendations/batch", {"users": USERS[:count]}

    async def at_once(*calls: tuple[str, Any]) -> list[tuple[int, dict[bytes, bytes], Any]]:
        return await asyncio.gather(*(ask(*call) for call in calls))

    answers = asyncio.run(at_once(*[lists(50)] * 3, *[tensors(50)] * 2, lists(50), tensors(1)))
    assert [status for status, _, _ in answers] == [200, 200, 200, 200, 429, 429, 200]
    _, headers, refused = answers[4]
    assert refused == {"error": "4 batches are under way; ask again in a second."}
    assert headers[b"retry-after"] == b"1"
    small = asyncio.run(at_once(*[tensors(32)] * 8))
    assert [status for status, _, _ in small] == [200] * 8, "made in one turn: nobody waits for them"


def test_rows_are_counted_apart_from_the_lists_that_shoppers_ask_for(server: RunningServer) -> None:
    lists, rows = (
        [
            ("aisle_recommendations_total", {"endpoint": endpoint}),
            ("aisle_fallback_total", {"endpoint": endpoint}),
            ("aisle_empty_total", {"endpoint": endpoint}),
        ]
        for endpoint in ("list", "inference")
    )

    def counted(which: list[tuple[str, dict[str, str]]]) -> list[float]:
        return [server.metric(name, **labels) for name, labels in which]

    before, before_rows = counted(lists), counted(rows)
    infer(server, {"inputs": [tensor(["u1", FILLED, "nobody"])]})
    assert counted(lists) == before
    found = [now - then for now, then in zip(counted(rows), before_rows, strict=True)]
    assert found == [3, 2, 1]  # `nobody` gets best-sellers, and who has everything gets nothing


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        ([], 400),
        ({}, 400),
        ({"inputs": []}, 400),
        ({"inputs": {}}, 400),
        ({"inputs": [k_tensor(3)]}, 400),
        ({"inputs": [tensor([])]}, 400),
        ({"inputs": [tensor(["u1"]), tensor(["u1"])]}, 400),
        ({"inputs": [tensor(["u1"], datatype="INT64")]}, 400),
        ({"inputs": [tensor(["u1"], shape=[2, 1])]}, 400),
        ({"inputs": [tensor(["u1"], shape=[1, 2])]}, 400),
        ({"inputs": [tensor(["u1"], shape=[True, True])]}, 400),
        ({"inputs": [tensor(["u1"], shape="1")]}, 400),
        ({"inputs": [tensor(["u1"], shape=None)]}, 400),
        ({"inputs": [tensor([["u1", "u2"]])]}, 400),
        ({"inputs": [tensor([1])]}, 400),
        ({"inputs": [tensor("u1")]}, 400),
        ({"inputs": [tensor(["a\0"])]}, 422),
        ({"inputs": [tensor(["x" * 257])]}, 422),
        ({"inputs": [tensor([""])]}, 422),
        ({"inputs": [tensor(["u1"], extra=1)]}, 400),
        (
            {
                "inputs": [
                    tensor(["u1"]),
                    {"name": "context", "shape": [1], "datatype": "BYTES", "data": ["x"]},
                ]
            },
            400,
        ),
        ({"inputs": [tensor(["u1"]), context_tensor([])]}, 400),
        ({"inputs": [tensor(["u1"]), context_tensor(["i1"] * 1_001)]}, 413),
        ({"inputs": [tensor(["u1"]), context_tensor(["i1"], datatype="INT32")]}, 400),
        ({"inputs": [tensor(["u1"]), context_tensor([1])]}, 400),
        ({"inputs": [tensor(["u1", "u2"]), context_tensor(["i1"])]}, 400),
        ({"inputs": [tensor(["u1"]), k_tensor(0)]}, 422),
        ({"inputs": [tensor(["u1"]), k_tensor(101)]}, 422),
        ({"inputs": [tensor(["u1"]), k_tensor(1.5)]}, 400),
        ({"inputs": [tensor(["u1"]), k_tensor(True)]}, 400),
        ({"inputs": [tensor(["u1"]), k_tensor(3, datatype="FP32")]}, 400),
        ({"inputs": [tensor(["u1"]), k_tensor(3, shape=[2])]}, 400),
        ({"inputs": [tensor(["u1"])], "outputs": [{"name": "other"}]}, 400),
        ({"inputs": [tensor(["u1"])], "outputs": [{"name": "scores"}, {"name": "scores"}]}, 400),
        ({"inputs": [tensor(["u1"])], "outputs": [{"name": []}]}, 400),
        ({"inputs": [tensor(["u1"])], "id": 7}, 400),
        ({"inputs": [tensor(["u1"])], "unknown": 7}, 400),
    ],
)
def test_what_is_not_the_protocol_is_refused_in_its_own_words(
    server: RunningServer, body: Any, status: int
) -> None:
    reply = infer(server, body)
    assert (reply.status, set(reply.json)) == (status, {"error"})
    assert reply.json["error"]
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("base", BASES)
def test_other_models_versions_and_addresses_are_not_found(server: RunningServer, base: str) -> None:
    for path in ("models/other", "models/shop-main/versions/18", "models/other/ready", "models", "nothing",
                 "models/shop-main/nothing", "health", "models/shop-main/versions"):  # fmt: skip
        reply = server.ask(f"{base}/v2/{path}")
        assert (reply.status, set(reply.json)) == (404, {"error"}), path
    assert infer(server, {"inputs": [tensor(["u1"])]}, f"{base}/v2/models/other/infer").status == 404
    reply = server.ask(f"{base}/v2/models/shop-main/infer")
    assert (reply.status, reply.headers["allow"], set(reply.json)) == (405, "POST", {"error"})
