"""Judge an estimator on held-out choices, with intervals, and compare two on the same users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.estimators.base import BLAS, Estimator, Progress, ProgressCallback
from engine.interactions import Float32, Int32
from engine.metrics import DEFAULT_KS, TITLES, coverage, find_hits, per_user_metrics
from engine.splitting import Split

REPLICATES = 1000
USERS_AT_ONCE = 2048
MANY_USERS = 50_000  # beyond, a bootstrap's interval is the normal one, at a thousandth of its cost


@dataclass(frozen=True)
class PerUser:
    """Metrics of each test user. users: (n,) int32 positions; relevant: (n,) held-out choices of each."""

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
class Interval:
    """A mean over users with its 95 % interval; low and high are None where no interval is defined."""

    value: float
    low: float | None = None
    high: float | None = None


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


def evaluate(
    estimator: Estimator,
    split: Split,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    progress: ProgressCallback | None = None,
    seed: int = 0,
) -> Evaluation:
    """Rank the whole catalogue for every test user, train items left out, and measure.

    progress is called between blocks of users and may raise to cancel.
    BLAS runs on one thread meanwhile: the blocks of users are what runs in parallel.
    """
    with BLAS.limit(limits=1, user_api="blas"):
        return _evaluate(estimator, split, ks, progress, seed)


def _evaluate(
    estimator: Estimator, split: Split, ks: Sequence[int], progress: ProgressCallback | None, seed: int
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
    per_user = PerUser(users, relevant, per_user_metrics(hits, relevant, ks))
    metrics = dict(zip(per_user.values, intervals(list(per_user.values.values()), seed), strict=True))
    metrics |= {f"coverage@{k}": Interval(coverage(top[:, :k], n_items)) for k in ks}
    if progress:
        progress(Progress("evaluate", len(users), len(users), "Measured"))
    return Evaluation(metrics, per_user, top)


def compare(a: PerUser, b: PerUser, metric: str = "ndcg@10", *, seed: int = 0) -> Comparison:
    """Compare two runs user by user (paired bootstrap); ValueError when the test users differ."""
    same = np.array_equal(a.users, b.users) and np.array_equal(a.relevant, b.relevant)
    if not same:
        raise ValueError("the two runs were tested on different users or choices; evaluate both on one split")
    if metric not in a.values or metric not in b.values:
        raise ValueError(f"{metric} was not measured in both runs")
    found = intervals([a.values[metric] - b.values[metric]], seed)[0]
    assert found.low is not None
    assert found.high is not None
    base = float(b.values[metric].mean(dtype=np.float64))
    verdict = "better" if found.low > 0 else "worse" if found.high < 0 else "no difference"
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
    )


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


def intervals(columns: Sequence[npt.NDArray], seed: int = 0) -> list[Interval]:
    """Estimate each column's mean over users with its 95 % interval, by resampling users 1,000 times.

    All columns share the resampled users. Above 50,000 users the normal interval is used.
    """
    values = np.column_stack(columns).astype(np.float64)
    n = len(values)
    means = values.mean(axis=0)
    if n > MANY_USERS:
        reach = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(n)
        low, high = means - reach, means + reach
    else:
        rng = np.random.default_rng(seed)
        resampled = np.empty((REPLICATES, values.shape[1]))
        for start in range(0, REPLICATES, 50):
            drawn = rng.integers(0, n, (50, n)) + n * np.arange(50)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=50 * n).reshape(50, n)
            with BLAS.limit(limits=1, user_api="blas"):
                resampled[start : start + 50] = counts @ values / n
        low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return [Interval(float(m), float(a), float(b)) for m, a, b in zip(means, low, high, strict=True)]
