"""The Open Inference Protocol V2: the same model for clients that speak tensors.

Inputs: `user_id` BYTES [n, 1] or [n]; if wanted, `k` INT32 [1] and, for one user, `context_items` BYTES [m]:
what she looks at or has in the cart. Outputs: `item_ids` BYTES [n, k] and `scores` FP32 [n, k]. Who is
unknown gets what is popular; a row with fewer items ends in "" and 0.
More than one user is a batch, within the same limits as the other endpoint's.
"""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from engine.serving.answers import Answer, Request, json_answer
from engine.serving.batch_limits import BatchRoom, check_size
from engine.serving.counters import INFERENCE, Served
from engine.serving.domain import ARM_FAILED, Domain
from engine.serving.ranking import RankedList
from engine.serving.requests import (
    K_DEFAULT,
    K_MAX,
    Refusal,
    Wanted,
    check_id,
    read_json,
    read_object,
)

NAME, VERSION = "aisle", "0.1.0"
PLATFORM = "aisle_npz"
TENSOR = {"name", "shape", "datatype", "data", "parameters"}
INPUTS = [
    {"name": "user_id", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "k", "datatype": "INT32", "shape": [1]},
    {"name": "context_items", "datatype": "BYTES", "shape": [-1]},
]
OUTPUTS = [
    {"name": "item_ids", "datatype": "BYTES", "shape": [-1, -1]},
    {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
]
NAMES = ("user_id", "k", "context_items")


@dataclass(frozen=True)
class Inference:
    """One infer request, checked."""

    id: str | None
    users: list[str]
    wanted: Wanted
    outputs: list[str]


def server_metadata() -> Answer:
    """Answer GET /v2."""
    return json_answer({"name": NAME, "version": VERSION, "extensions": []})


def live() -> Answer:
    """Answer GET /v2/health/live: the process turns its event loop."""
    return json_answer({"live": True})


def ready(is_ready: bool) -> Answer:
    """Answer GET /v2/health/ready, which the protocol draws with `live`."""
    return json_answer({"live": True, "ready": is_ready}, status=200 if is_ready else 503)


class InferenceProtocol:
    """Answers for the one model that this server has."""

    def __init__(self, domain: Domain, room: BatchRoom) -> None:
        self.domain, self.room = domain, room
        self.config, self.model, self.ranker = domain.config, domain.model, domain.ranker

    def check_model(self, name: str, version: str | None) -> None:
        """Refuse a model or version that is not served here."""
        own = str(self.config.model_version)
        if name != self.config.model or version not in (None, own):
            asked = name if version is None else f"{name} version {version}"
            raise Refusal(
                404, "unknown_model", f"{asked[:80]} is not served here; {self.config.model} {own} is."
            )

    def metadata(self) -> Answer:
        """Answer GET …/models/{m}."""
        return json_answer(
            {
                "name": self.config.model,
                "versions": [str(self.config.model_version)],
                "platform": PLATFORM,
                "inputs": INPUTS,
                "outputs": OUTPUTS,
            }
        )

    def model_ready(self) -> Answer:
        """Answer GET …/models/{m}/ready."""
        return json_answer({"name": self.config.model, "ready": True})

    async def infer(self, request: Request) -> Answer:
        """Answer POST …/models/{m}/infer, leaving room for other requests between blocks of users."""
        asked = read_inference(request.body)
        with self.room.taken() if len(asked.users) > 1 else nullcontext():
            return await self._infer(request, asked)

    async def _infer(self, request: Request, asked: Inference) -> Answer:
        rows: list[RankedList] = []
        model_s = 0.0
        async for lists in self._lists(asked):
            rows += lists
            model_s += max(each.model_s for each in lists)
        width = min(asked.wanted.k, self.model.n_items)
        n, took_s = len(rows), perf_counter() - request.started
        made = {
            "item_ids": [name for row in rows for name in self._names(row, width)],
            "scores": [score for row in rows for score in row.scores + [0.0] * (width - len(row.scores))],
        }
        datatypes = {"item_ids": "BYTES", "scores": "FP32"}
        answer: dict[str, Any] = {
            "model_name": self.config.model,
            "model_version": str(self.config.model_version),
            "outputs": [
                {"name": name, "shape": [n, width], "datatype": datatypes[name], "data": made[name]}
                for name in asked.outputs
            ],
        }
        if asked.id is not None:
            answer["id"] = asked.id
        said = [self.domain.made_by(request, row) for row in rows]
        if said[0][1] == ARM_FAILED:  # of all: the protocol has no place for it beside each row
            answer["parameters"] = {"served_by": said[0][0], "fallback_reason": said[0][1]}
        if not request.is_probe:
            variant = self.domain.variant(request)
            for row, made_by in zip(rows, said, strict=True):
                self.domain.counters.count(Served.of(row, variant, made_by, took_s, INFERENCE))
        return json_answer(answer, headers=self.domain.headers(0.0, model_s, max(0.0, took_s - model_s)))

    async def _lists(self, asked: Inference) -> AsyncIterator[list[RankedList]]:
        if asked.wanted.context:
            yield [await self.ranker.recommend(self.model.users.find(asked.users[0]), asked.wanted)]
            return
        async for _, lists in self.ranker.in_blocks(asked.users, asked.wanted):
            yield lists

    def _names(self, row: RankedList, width: int) -> list[str]:
        return [self.model.facts(item).item_id for item in row.items] + [""] * (width - len(row.items))


def read_inference(body: bytes) -> Inference:
    """Check an infer request; raise Refusal for whatever is not as the protocol has it."""
    found = read_object(read_json(body), "", {"id", "parameters", "inputs", "outputs"})
    asked_id = found.get("id")
    if asked_id is not None and not (isinstance(asked_id, str) and len(asked_id) <= 256):
        raise Refusal(400, "wrong_type", "id must be a text of at most 256 characters.")
    tensors: dict[str, dict[str, Any]] = {}
    inputs = found.get("inputs")
    if not isinstance(inputs, list):
        raise Refusal(400, "wrong_type", "inputs must be a list of tensors.")
    for at, each in enumerate(inputs):
        tensor = read_object(each, f"inputs[{at}]", TENSOR)
        name = tensor.get("name")
        if name not in NAMES or name in tensors:
            names = " or ".join(NAMES)
            raise Refusal(400, "unknown_input", f"inputs[{at}] must be {names}, each once.")
        tensors[name] = tensor
    if "user_id" not in tensors:
        raise Refusal(400, "user_missing", "The input user_id is missing.")
    users, k = _ids("user_id", tensors["user_id"]), _k(tensors.get("k"))
    check_size(len(users), k)
    context = _ids("context_items", tensors["context_items"]) if "context_items" in tensors else []
    if context and len(users) > 1:
        raise Refusal(400, "not_in_a_batch", "context_items are what one user looks at; ask for her alone.")
    return Inference(asked_id, users, Wanted(k, context=context), _outputs(found.get("outputs")))


def _ids(name: str, tensor: dict[str, Any]) -> list[str]:
    shape, data = tensor.get("shape"), tensor.get("data")
    if tensor.get("datatype") != "BYTES":
        raise Refusal(400, "wrong_datatype", f"{name} must have the datatype BYTES.")
    if not isinstance(data, list):
        raise Refusal(400, "wrong_type", f"The data of {name} must be a list.")
    flat = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    check_size(len(flat), 1)  # before each is looked at
    if shape not in ([len(flat)], [len(flat), 1]) or any(type(n) is not int for n in shape):
        raise Refusal(
            400, "wrong_shape", f"{name} must have the shape [n] or [n, 1]; its data has {len(flat)} entries."
        )
    if not flat:
        raise Refusal(400, "empty", f"The input {name} is empty.")
    if not all(isinstance(each, str) for each in flat):
        raise Refusal(400, "wrong_type", f"Every entry of {name} is a text.")
    return [check_id(each, f"{name}[{at}]") for at, each in enumerate(flat)]


def _k(tensor: dict[str, Any] | None) -> int:
    if tensor is None:
        return K_DEFAULT
    if tensor.get("datatype") != "INT32" or tensor.get("shape") != [1]:
        raise Refusal(400, "wrong_shape", "k must be INT32 of shape [1].")
    data = tensor.get("data")
    if not isinstance(data, list) or len(data) != 1 or type(data[0]) is not int:
        raise Refusal(400, "wrong_type", "k must hold one whole number.")
    if not 1 <= data[0] <= K_MAX:
        raise Refusal(422, "k_out_of_range", f"k must be a whole number from 1 to {K_MAX}.")
    return int(data[0])


def _outputs(value: object) -> list[str]:
    names = [each["name"] for each in OUTPUTS]
    if value is None or value == []:
        return [str(name) for name in names]
    if not isinstance(value, list):
        raise Refusal(400, "wrong_type", "outputs must be a list.")
    asked = [
        read_object(each, f"outputs[{at}]", {"name", "parameters"}).get("name")
        for at, each in enumerate(value)
    ]
    unknown = [name for name in asked if name not in names]
    if unknown or len(set(asked)) != len(asked):
        raise Refusal(400, "unknown_output", f"outputs may name {' and '.join(map(str, names))}, each once.")
    return [str(name) for name in asked]
