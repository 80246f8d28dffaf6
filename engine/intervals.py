"""Means over users with their 95 % intervals, by resampling users (Efron 1979, "Bootstrap methods")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.estimators.base import BLAS

REPLICATES = 1000
AT_ONCE = 50
MANY_USERS = 50_000  # beyond, a bootstrap's interval is the normal one, at a thousandth of its cost

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over users with its 95 % interval; low and high are None where no interval is defined."""

    value: float
    low: float | None = None
    high: float | None = None


def intervals(
    columns: Sequence[npt.NDArray[Any]], seed: int = 0, *, most_resampled: int = MANY_USERS
) -> list[Interval]:
    """Estimate each column's mean over users with its 95 % interval, by resampling users 1,000 times.

    columns: (n,) each; NaN = not defined for this user, who is then left out of that column's mean. A
    column without any number gives NaN. All columns share the resampled users.
    Above `most_resampled` users the normal interval is used.
    """
    values = np.column_stack(columns).astype(np.float64)
    known = ~np.isnan(values)
    if known.all():
        return ratio_intervals(values, np.ones((len(values), 1)), seed, most_resampled)
    return ratio_intervals(np.where(known, values, 0), known.astype(np.float64), seed, most_resampled)


def ratio_intervals(
    tops: Float64, bottoms: Float64, seed: int = 0, most_resampled: int = MANY_USERS
) -> list[Interval]:
    """Estimate sum(top) / sum(bottom) over users, column by column, with its 95 % interval.

    tops: (n, m); bottoms: (n, m), or (n, 1) for one that all columns share. A mean over interactions
    is a ratio of sums by user, and resampling users keeps what a user's interactions have in common.
    """
    n = len(tops)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = tops.sum(axis=0) / bottoms.sum(axis=0)
        if n > most_resampled:  # the delta method; with bottoms of 1 it is the mean's standard error
            residuals = tops - means * bottoms
            reach = 1.96 * residuals.std(axis=0, ddof=1) / (np.sqrt(n) * bottoms.mean(axis=0))
            low, high = means - reach, means + reach
        else:
            low, high = np.percentile(_resample(tops, bottoms, seed), [2.5, 97.5], axis=0)
    return [Interval(float(m), float(a), float(b)) for m, a, b in zip(means, low, high, strict=True)]


def _resample(tops: Float64, bottoms: Float64, seed: int) -> Float64:
    n = len(tops)
    both = np.hstack([tops, bottoms]) if (bottoms != 1).any() else tops
    rng = np.random.default_rng(seed)
    sums = np.empty((REPLICATES, both.shape[1]))
    for start in range(0, REPLICATES, AT_ONCE):
        drawn = rng.integers(0, n, (AT_ONCE, n)) + n * np.arange(AT_ONCE)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=AT_ONCE * n).reshape(AT_ONCE, n)
        with BLAS.limit(limits=1, user_api="blas"):
            sums[start : start + AT_ONCE] = counts @ both
    return sums / n if both is tops else sums[:, : tops.shape[1]] / sums[:, tops.shape[1] :]
