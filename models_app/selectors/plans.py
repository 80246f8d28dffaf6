"""What can be trained on a dataset version: algorithms, their settings, costs and readiness; the split."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.estimators import ALGORITHMS
from engine.estimators.base import FAMILIES, Estimate
from engine.event_weights import suggest_weight
from engine.parameters import Parameter, Settings, config_fields, make_config
from engine.splitting import SplitConfig
from models_app.models import DatasetVersion, RegisteredModel
from models_app.readiness import data_facts, judge

# Beside popularity, which is trained in any case; what is not in the engine or not ready is left out.
RECOMMENDED = ("item_knn", "als", "item_graph", "content", "hybrid")
MODEL_NAME = "shop-main"


@dataclass(frozen=True)
class AlgorithmPlan:
    """One algorithm as a card or an API entry shows it.

    verdict: "ready", "weak" (it will run, expect little), "not_ready" or "too_big"; reason in words.
    needs: facts beside the interactions without which it cannot be trained: "items", "times".
    estimate is None where no data is chosen.
    """

    name: str
    title: str
    when_to_use: str
    family: str
    needs: list[str]
    parameters: list[Parameter]
    estimate: Estimate | None = None
    verdict: str = "ready"
    reason: str = ""
    is_recommended: bool = False


@dataclass(frozen=True)
class Forecast:
    """What a training will cost beside popularity, which costs next to nothing.

    seconds: the fits in sum, each recipe fitted twice (for the test, then on everything);
    memory_bytes: the most that one of them takes.
    """

    algorithms: list[AlgorithmPlan]
    seconds: float
    memory_bytes: int
    memory_available_bytes: int


@dataclass(frozen=True)
class EventType:
    """A kind of event in the data, with a weight to start from."""

    name: str
    rows: int
    suggested_weight: float


@dataclass(frozen=True)
class TrainingPlan:
    """What the page of a new training starts from; split is a `SplitConfig` as a dict.

    event_types: those that can be weighed, most rows first; has_times: whether age can.
    """

    dataset_version: DatasetVersion
    algorithms: list[AlgorithmPlan]
    split: dict[str, Any]
    split_why: str
    split_parameters: list[Parameter]
    model_name: str
    memory_available_bytes: int
    event_types: list[EventType]
    has_times: bool


def algorithms() -> list[AlgorithmPlan]:
    """Every algorithm, without data."""
    return [AlgorithmPlan(**_described(name)) for name in ALGORITHMS]


def plan_training(version: DatasetVersion) -> TrainingPlan:
    """Propose a training on a version that is ready."""
    memory = available_memory_bytes()
    newest = RegisteredModel.objects.filter(shop_id=version.shop_id).order_by("-created_at").first()
    proposed = version.report.get("split") or {"config": asdict(SplitConfig()), "why": ""}
    return TrainingPlan(
        dataset_version=version,
        algorithms=[_plan(version, name, {}, memory) for name in ALGORITHMS],
        split=proposed["config"],
        split_why=proposed["why"],
        split_parameters=config_fields(SplitConfig),
        model_name=newest.name if newest else MODEL_NAME,
        memory_available_bytes=memory,
        event_types=[
            EventType(name, count, suggest_weight(name))
            for name, count in sorted((version.report.get("event_types") or {}).items(), key=_most_rows)
        ],
        has_times=version.first_at is not None,
    )


def forecast(version: DatasetVersion, recipes: Iterable[tuple[str, Mapping[str, Any]]]) -> Forecast:
    """Estimate (algorithm, settings) pairs on a version; settings left out keep their defaults.

    Raises ConfigError where a setting cannot be.
    """
    memory = available_memory_bytes()
    plans = [_plan(version, name, config, memory) for name, config in recipes]
    costs = [each.estimate for each in plans if each.estimate]
    return Forecast(
        plans,
        2 * sum(each.seconds for each in costs),
        max((each.memory_bytes for each in costs), default=0),
        memory,
    )


def available_memory_bytes() -> int:
    """Memory that a program could still take on this machine."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _plan(version: DatasetVersion, name: str, values: Mapping[str, Any], memory: int) -> AlgorithmPlan:
    algorithm = ALGORITHMS[name]
    config = make_config(algorithm.Config, values)
    estimate = _estimate(version, name, config)
    judged = judge(version, name, config)
    verdict, reason = judged.verdict, judged.reason
    if estimate.memory_bytes > memory and verdict != "not_ready":
        verdict = "too_big"
        needed, free = estimate.memory_bytes / 1e9, memory / 1e9
        reason = f"Needs about {needed:.1f} GB of memory; {free:.1f} GB are free here."
        reason += _cheaper(version, name, config, memory)
    return AlgorithmPlan(
        **_described(name),
        estimate=estimate,
        verdict=verdict,
        reason=reason,
        is_recommended=name in RECOMMENDED and verdict in ("ready", "weak"),
    )


def _most_rows(kind: tuple[str, int]) -> tuple[int, str]:
    return -kind[1], kind[0]


def _described(name: str) -> dict[str, Any]:
    algorithm = ALGORITHMS[name]
    return {
        "name": name,
        "title": algorithm.title,
        "when_to_use": algorithm.when_to_use,
        "family": FAMILIES[algorithm.family],
        "needs": sorted(algorithm.needs),
        "parameters": config_fields(algorithm.Config),
    }


def _estimate(version: DatasetVersion, name: str, config: Settings) -> Estimate:
    data = data_facts(version)
    counts = data.users, data.catalogue, data.interactions
    return ALGORITHMS[name].estimate(config, *(each or 1 for each in counts))


def _cheaper(version: DatasetVersion, name: str, config: Settings, memory: int) -> str:
    """Name a setting with which it would fit, else another algorithm that does; "" when none is known."""
    values = asdict(config)
    for each in config_fields(type(config)):
        if each.kind != "integer" or each.minimum is None:
            continue
        value, least = int(values[each.name]), max(1, int(each.minimum))
        while value > least:
            value = max(least, value // 2)
            smaller = make_config(type(config), {**values, each.name: value})
            if _estimate(version, name, smaller).memory_bytes <= memory:
                return f" With {each.title} at {value} it fits."
    family = ALGORITHMS[name].family
    others = sorted(
        (other for other in ALGORITHMS if other != name), key=lambda o: ALGORITHMS[o].family != family
    )
    for other in others:
        estimate = _estimate(version, other, ALGORITHMS[other].Config())
        if estimate.memory_bytes <= memory and judge(version, other).verdict != "not_ready":
            return f" {ALGORITHMS[other].title} fits."
    return ""
