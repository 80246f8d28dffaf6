"""Is it better? Paired comparisons of runs on the same shoppers, in numbers and in words."""

from dataclasses import asdict
from typing import Any

from engine.estimators import ALGORITHMS
from engine.evaluation import PerUser, compare, verdict_sentence
from models_app.models import RunRole, TrainingRun
from models_app.snapshots import load_per_user

METRIC = "ndcg@10"
# What a candidate is compared with, by the role of the other run.
KEYS = {RunRole.BASELINE: "popularity", RunRole.CHAMPION: "live"}


def judge(
    candidate: TrainingRun, per_user: PerUser, reference: TrainingRun, other: PerUser
) -> dict[str, Any]:
    """Compare a candidate with the baseline or champion of its group."""
    comparison = compare(per_user, other, METRIC, seed=candidate.seed)
    name, against = ALGORITHMS[candidate.algorithm].title, ALGORITHMS[reference.algorithm].title
    if reference.role == RunRole.CHAMPION:
        against = f"the live version ({reference.recipe_of}, {against})"
    is_itself = (candidate.algorithm, candidate.config) == (reference.algorithm, reference.config)
    return {
        **asdict(comparison),
        "sentence": _itself(name, reference) if is_itself else verdict_sentence(comparison, name, against),
        "is_itself": is_itself,
        "run": reference.pk,
        "model_version": reference.recipe_of_id,
    }


def _itself(name: str, reference: TrainingRun) -> str:
    """Say that there is nothing to compare: the same algorithm, settings, data and seed."""
    if reference.role == RunRole.CHAMPION:
        return f"{name} with these settings is the recipe of the live version ({reference.recipe_of})."
    return f"{name} with these settings is the baseline itself; the others are compared with it."


def pairs(run: TrainingRun, finished: list[TrainingRun]) -> list[tuple[TrainingRun, TrainingRun]]:
    """List (candidate, reference) for `run` and the finished runs of its group."""
    if run.role == RunRole.CANDIDATE:
        return [(run, other) for other in finished if other.role in KEYS]
    return [(other, run) for other in finished if other.role == RunRole.CANDIDATE]


def judge_pair(
    run: TrainingRun, per_user: PerUser, candidate: TrainingRun, reference: TrainingRun
) -> dict[str, Any]:
    """Judge a pair of which `run` is one and the other is finished."""

    def arrays(each: TrainingRun) -> PerUser:
        return per_user if each.pk == run.pk else load_per_user(each.per_user_digest)

    return judge(candidate, arrays(candidate), reference, arrays(reference))
