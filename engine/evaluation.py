"""Judge an estimator on held-out choices, with intervals, and compare two on the same users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.auc import area_under_curve
from engine.beyond_accuracy import (
    average_popularity,
    category_diversity,
    diversity,
    gini,
    novelty,
    personalisation,
    popularity_of,
    serendipity,
    tail_items,
    tail_share,
)
from engine.estimators.base import BLAS, Estimator, Progress, ProgressCallback, check_k
from engine.interactions import Float32, Int32
from engine.intervals import Interval, intervals, ratio_intervals
from engine.metric_meanings import metric_better
from engine.metrics import DEFAULT_KS, TITLES, Flags, coverage, find_hits, per_user_metrics
from engine.significance import LEVEL, effect_size, holm, paired_p_value
from engine.splitting import Split

USERS_AT_ONCE = 2048
LIST = 10  # the length at which lists are judged beyond accuracy, where it was asked for


@dataclass(frozen=True)
class PerUser:
    """Metrics of each test user; "rmse" is that of her own values.

    users: (n,) int32 positions; relevant: (n,) held-out choices of each.
    """

    users: Int32
    relevant: Int32
    values: Mapping[str, Float32]

    def save(self, path: Path) -> None:
        """Write an `.npz`, so that later runs on the same split can be compared."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, users=self.users, relevant=self.relevant, **self.values)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files if name not in ("users", "relevant")}
            return cls(stored["users"], stored["relevant"], values)


@dataclass(frozen=True)
class Evaluation:
    """metrics: {"ndcg@10": Interval, …, "coverage@10": …}; top: (n, max k) lists of per_user.users."""

    metrics: Mapping[str, Interval]
    per_user: PerUser
    top: Int32

    def summary(self) -> dict[str, Any]:
        """Give plain numbers for a manifest or a database row."""
        return {
            name: {"value": each.value, "low": each.low, "high": each.high}
            for name, each in self.metrics.items()
        }


@dataclass(frozen=True)
class Comparison:
    """How much better a is than b on the same users: difference of means with its 95 % interval.

    relative, relative_low, relative_high: the same as shares of b's mean; None when that mean is 0.
    p_value: chance of such a difference when neither is better (see `paired_p_value`); p_adjusted: the
    same for one of several comparisons, None for one alone; effect_size: the difference in standard
    deviations of the users' differences, None where all users differ by the same amount.
    """

    metric: str
    difference: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    verdict: str
    n_users: int
    p_value: float = 1.0
    p_adjusted: float | None = None
    effect_size: float | None = None


def evaluate(
    estimator: Estimator,
    split: Split,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    thorough: bool = False,
    progress: ProgressCallback | None = None,
    seed: int = 0,
) -> Evaluation:
    """Rank the whole catalogue for every test user, train items left out, and measure.

    Ranking metrics and coverage are measured at every k, the rest beyond accuracy at 10 or, when 10 is
    not asked for, at the greatest k. RMSE and MAE come with estimators that predict values.
    thorough: AUC and the diversity of lists by co-choice as well, which take about as long as all the rest.
    progress is called between blocks of users and may raise to cancel.
    BLAS runs on one thread meanwhile: the blocks of users are what runs in parallel.
    Raises ValueError when a k is below 1.
    """
    check_k(min(ks))
    with BLAS.limit(limits=1, user_api="blas"):
        return _evaluate(estimator, split, ks, thorough, progress, seed)


def _evaluate(
    estimator: Estimator,
    split: Split,
    ks: Sequence[int],
    thorough: bool,
    progress: ProgressCallback | None,
    seed: int,
) -> Evaluation:
    users = np.flatnonzero(np.diff(split.test.indptr)).astype(np.int32)
    n_items, depth = split.test.shape[1], max(ks)
    top = np.empty((len(users), depth), np.int32)
    hits = np.empty((len(users), depth), bool)
    for start in range(0, len(users), USERS_AT_ONCE):
        if progress:
            progress(Progress("evaluate", start, len(users), "Ranking the catalogue"))
        block = users[start : start + USERS_AT_ONCE]
        here = slice(start, start + len(block))
        top[here] = estimator.recommend(block, depth, seen=split.train[block]).items
        hits[here] = find_hits(top[here], split.test[block])
    relevant = np.diff(split.test.indptr)[users].astype(np.int32)
    at = LIST if LIST in ks else depth
    values = per_user_metrics(hits, relevant, ks)
    values |= {
        f"{name}@{at}": each for name, each in _of_lists(top[:, :at], hits[:, :at], users, split).items()
    }
    if thorough:
        values[f"diversity@{at}"] = diversity(top[:, :at], split.train)
        values["auc"] = area_under_curve(
            estimator, users, split.train[users], split.test[users], progress=progress
        )
    if estimator.predicts_values:
        values["rmse"] = errors_by_user(estimator, split, users)
    metrics = dict(zip(values, intervals(list(values.values()), seed), strict=True))
    if estimator.predicts_values:
        metrics |= _value_errors(estimator, split, users, seed)
    metrics |= {f"coverage@{k}": Interval(coverage(top[:, :k], n_items)) for k in ks}
    metrics[f"gini@{at}"] = Interval(gini(top[:, :at], n_items))
    metrics[f"personalisation@{at}"] = Interval(personalisation(top[:, :at]))
    metrics = {name: each for name, each in metrics.items() if not np.isnan(each.value)}
    if progress:
        progress(Progress("evaluate", len(users), len(users), "Measured"))
    return Evaluation(metrics, PerUser(users, relevant, values), top)


def _of_lists(top: Int32, hits: Flags, users: Int32, split: Split) -> dict[str, Float32]:
    """Measure each list beyond its accuracy; all of it costs little beside the ranking."""
    popularity = popularity_of(split.train)
    found = {
        "novelty": novelty(top, popularity, split.train.shape[0]),
        "serendipity": serendipity(top, hits, popularity, split.train[users]),
        "arp": average_popularity(top, popularity),
        "aplt": tail_share(top, tail_items(popularity)),
    }
    if split.context.items is not None:
        found["category_diversity"] = category_diversity(top, split.context.items.category_of)
    return found


def errors_by_user(estimator: Estimator, split: Split, users: Int32) -> Float32:
    """Measure each user's root mean square error over her test values, (n,) float32."""
    rows, errors = _errors(estimator, split, users)
    return np.sqrt(np.bincount(rows, errors**2) / np.bincount(rows)).astype(np.float32)


def _errors(estimator: Estimator, split: Split, users: Int32) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give which of `users` each test pair belongs to, and by how much its value is missed."""
    rows = np.repeat(np.arange(len(users)), np.diff(split.test.indptr)[users])
    return rows, estimator.score(users[rows], split.test.indices).astype(np.float64) - split.test.data


def _value_errors(estimator: Estimator, split: Split, users: Int32, seed: int) -> dict[str, Interval]:
    """Compare predicted with held-out values over all test pairs; intervals resample users."""
    counts = np.diff(split.test.indptr)[users]
    rows, errors = _errors(estimator, split, users)
    sums = np.column_stack([np.bincount(rows, errors**2), np.bincount(rows, np.abs(errors))]).astype(
        np.float64
    )
    squared, absolute = ratio_intervals(sums, counts[:, None].astype(np.float64), seed)
    assert squared.low is not None
    assert squared.high is not None
    root = Interval(*np.sqrt([squared.value, squared.low, squared.high]).tolist())
    return {"rmse": root, "mae": absolute}


def compare(a: PerUser, b: PerUser, metric: str = "ndcg@10", *, seed: int = 0) -> Comparison:
    """Compare two runs user by user (paired bootstrap); ValueError when the test users differ."""
    same = np.array_equal(a.users, b.users) and np.array_equal(a.relevant, b.relevant)
    if not same:
        raise ValueError("the two runs were tested on different users or choices; evaluate both on one split")
    if metric not in a.values or metric not in b.values:
        raise ValueError(f"{metric} was not measured in both runs")
    differences = a.values[metric] - b.values[metric]
    found = intervals([differences], seed)[0]
    assert found.low is not None
    assert found.high is not None
    base = float(np.nanmean(b.values[metric], dtype=np.float64))
    size = effect_size(differences)
    more, less = ("better", "worse") if metric_better(metric) == "more" else ("worse", "better")
    verdict = more if found.low > 0 else less if found.high < 0 else "no difference"
    return Comparison(
        metric=metric,
        difference=found.value,
        low=found.low,
        high=found.high,
        relative=found.value / base if base else None,
        relative_low=found.low / base if base else None,
        relative_high=found.high / base if base else None,
        verdict=verdict,
        n_users=len(a.users),
        p_value=paired_p_value(differences, seed),
        effect_size=size if np.isfinite(size) else None,
    )


def compare_all(
    candidates: Mapping[str, PerUser], reference: PerUser, metric: str = "ndcg@10", *, seed: int = 0
) -> dict[str, Comparison]:
    """Compare several runs with one; a verdict then stands only if it holds for all tests together.

    The p-values are adjusted by Holm's method; above 0.05 the verdict is "no difference".
    Raises ValueError as `compare` does.
    """
    alone = {name: compare(each, reference, metric, seed=seed) for name, each in candidates.items()}
    adjusted = holm([each.p_value for each in alone.values()])
    return {
        name: replace(each, p_adjusted=p, verdict=each.verdict if p <= LEVEL else "no difference")
        for (name, each), p in zip(alone.items(), adjusted, strict=True)
    }


def verdict_sentence(comparison: Comparison, name: str, other: str) -> str:
    """Say a comparison in words: "ALS beats Popularity by 31 % on NDCG@10 (95 % interval 27 to 35 %)."."""
    title = metric_title(comparison.metric)
    if comparison.relative is None or comparison.relative_low is None or comparison.relative_high is None:
        amount = f"by {abs(comparison.difference):.3f} on {title} ({other} finds nothing)"
        interval = ""
    else:
        low, high = sorted([abs(comparison.relative_low), abs(comparison.relative_high)])
        amount = f"by {abs(comparison.relative):.0%} on {title}".replace("%", " %")
        interval = f" (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    if comparison.verdict == "better":
        return f"{name} beats {other} {amount}{interval}."
    if comparison.verdict == "worse":
        return f"{name} is behind {other} {amount}{interval}."
    return (
        f"No difference between {name} and {other} on {title} that {comparison.n_users:,} test shoppers show."
    )


def metric_title(metric: str) -> str:
    """Spell "ndcg@10" as a page shows it: "NDCG@10"."""
    name, _, k = metric.partition("@")
    return f"{TITLES.get(name, name)}@{k}" if k else TITLES.get(name, name)
