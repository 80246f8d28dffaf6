"""What can be trained on a dataset version: algorithms, their settings, costs and readiness; the split."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from engine.estimators import ALGORITHMS
from engine.estimators.base import Estimate
from engine.parameters import Parameter, config_fields
from engine.splitting import SplitConfig
from models_app.models import DatasetVersion, RegisteredModel

RECOMMENDED = ("item_knn", "als")  # beside popularity, which is trained in any case
MODEL_NAME = "shop-main"


@dataclass(frozen=True)
class AlgorithmPlan:
    """One algorithm as a card or an API entry shows it.

    verdict: "ready", "weak" (it will run, expect little), "not_ready" or "too_big"; reason in words.
    estimate is None where no data is chosen.
    """

    name: str
    title: str
    when_to_use: str
    parameters: list[Parameter]
    estimate: Estimate | None = None
    verdict: str = "ready"
    reason: str = ""
    is_recommended: bool = False


@dataclass(frozen=True)
class TrainingPlan:
    """What the page of a new training starts from; split is a `SplitConfig` as a dict."""

    dataset_version: DatasetVersion
    algorithms: list[AlgorithmPlan]
    split: dict[str, Any]
    split_why: str
    split_parameters: list[Parameter]
    model_name: str
    memory_available_bytes: int


def algorithms() -> list[AlgorithmPlan]:
    """Every algorithm, without data."""
    return [
        AlgorithmPlan(name, each.title, each.when_to_use, config_fields(each.Config))
        for name, each in ALGORITHMS.items()
    ]


def plan_training(version: DatasetVersion) -> TrainingPlan:
    """Propose a training on a version that is ready."""
    memory = available_memory_bytes()
    judged = {entry["what"]: entry for entry in version.report.get("ready_for", [])}
    newest = RegisteredModel.objects.filter(shop_id=version.shop_id).order_by("-created_at").first()
    proposed = version.report.get("split") or {"config": asdict(SplitConfig()), "why": ""}
    return TrainingPlan(
        dataset_version=version,
        algorithms=[_plan(version, name, judged.get(name), memory) for name in ALGORITHMS],
        split=proposed["config"],
        split_why=proposed["why"],
        split_parameters=config_fields(SplitConfig),
        model_name=newest.name if newest else MODEL_NAME,
        memory_available_bytes=memory,
    )


def available_memory_bytes() -> int:
    """Memory that a program could still take on this machine."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _plan(version: DatasetVersion, name: str, judged: dict[str, str] | None, memory: int) -> AlgorithmPlan:
    algorithm = ALGORITHMS[name]
    counts = version.user_count or 0, version.item_count or 0, version.interaction_count or 0
    estimate = algorithm.estimate(algorithm.Config(), *counts)
    verdict = judged["verdict"] if judged else "ready"
    reason = judged["reason"] if judged else ""
    if estimate.memory_bytes > memory:
        verdict = "too_big"
        needed, free = estimate.memory_bytes / 1e9, memory / 1e9
        reason = f"Needs about {needed:.1f} GB of memory; {free:.1f} GB are free here."
    return AlgorithmPlan(
        name,
        algorithm.title,
        algorithm.when_to_use,
        config_fields(algorithm.Config),
        estimate,
        verdict,
        reason,
        is_recommended=name in RECOMMENDED and verdict in ("ready", "weak"),
    )
