"""What a search found: its trials, the winner, what mattered, and the settings no other beats at all."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState

from engine.evaluation import Comparison
from engine.metric_meanings import metric_better
from engine.search.journal import Trial
from engine.search.space import Space

FEWEST = 4  # complete trials below which importance would be noise
TOP_SHARE, TOP_TRIALS = 0.1, 5


@dataclass(frozen=True)
class Findings:
    """winner: the best trial, or the default when the folds do not show that the best is better; gain: the
    best against the default on the folds, None when the default is the best itself.
    importance: share of each setting, summing to 1; empty when too few trials were complete.

    front: complete trials that no other beats in quality, size and latency at once, best quality first.
    ended: why the search stopped.
    """

    metric: str
    trials: Sequence[Trial]
    winner: Trial
    gain: Comparison | None
    importance: dict[str, float]
    front: Sequence[Trial]
    ended: str

    @property
    def default(self) -> Trial:
        """The first trial: the default setting."""
        return self.trials[0]

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page, a database row or a file."""

        def plain(trial: Trial) -> dict[str, Any]:
            facts = ("number", "state", "quality", "size_bytes", "latency_ms", "fit_seconds", "reason")
            return {name: getattr(trial, name) for name in facts} | {"settings": dict(trial.settings)}

        return {
            "metric": self.metric,
            "measured_on": "validation",
            "winner": plain(self.winner),
            "gain": None if self.gain is None else asdict(self.gain),
            "importance": self.importance,
            "front": [each.number for each in self.front],
            "trials": [plain(each) for each in self.trials],
            "ended": self.ended,
        }


def goodness(trial: Trial, metric: str) -> float:
    """Turn a trial's quality so that more is better; 0 where there is none."""
    quality = trial.quality or 0.0
    return quality if metric_better(metric) == "more" else -quality


def best_of(trials: Sequence[Trial], metric: str) -> Trial | None:
    """Choose the complete trial of the best quality; of equal ones the first."""
    complete = [each for each in trials if each.state == "complete" and each.quality is not None]
    return max(complete, key=lambda each: (goodness(each, metric), -each.number), default=None)


def pareto_front(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """Keep the complete trials that no other beats: as good in all three measures and better in one."""
    complete = [each for each in trials if each.state == "complete" and each.same_as is None]
    costs = np.array([[-goodness(t, metric), t.size_bytes, t.latency_ms] for t in complete], np.float64)
    front = [
        each
        for each, own in zip(complete, costs, strict=True)
        if not ((costs <= own).all(axis=1) & (costs < own).any(axis=1)).any()
    ]
    return sorted(front, key=lambda each: (-goodness(each, metric), each.number))


def importance_of(study: Study, space: Space) -> dict[str, float]:
    """Estimate how much each setting mattered for being among the best, as shares of 1.

    Source: Watanabe, Bansal & Hutter 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance
    in arbitrary subspaces", by Optuna.
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    varied = [
        name
        for name, each in space.items()
        if not each.single() and len({trial.params[name] for trial in complete}) > 1
    ]
    if len(complete) < FEWEST or not varied or len({trial.value for trial in complete}) < 2:
        return {}
    quantile = min(0.5, max(TOP_SHARE, TOP_TRIALS / len(complete)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # equal shares, when all that was tried is equally good
        found = get_param_importances(study, evaluator=evaluator, params=varied)
    total = sum(found.values())
    if not total > 0:
        return {}
    shares = {name: value / total for name, value in found.items()}
    return {name: shares.get(name, 0.0) for name in sorted(space, key=lambda name: -shares.get(name, 0.0))}
