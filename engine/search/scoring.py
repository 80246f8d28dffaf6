"""Judge one setting on some folds: quality, size and latency, all measured."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.base import BLAS, Context, Estimator, Settings
from engine.evaluation import LIST, PerUser, errors_by_user
from engine.interactions import Float32, Int32
from engine.metrics import find_hits, per_user_metrics
from engine.search.space import RESOURCES
from engine.splitting import Split

Now = Callable[[], float]
USERS_AT_ONCE = 2048
ASKED = 31  # one-user lists whose median is the latency
ENOUGH_TESTED = 50  # a sample of shoppers with fewer tested ones says nothing


@dataclass(frozen=True)
class Judged:
    """quality: mean over the folds; per_user: the metric of each tested user, fold after fold; size_bytes,
    latency_ms: of the last fold's model, 0 unless it had the full resource.
    """

    quality: float
    per_user: PerUser
    size_bytes: int
    latency_ms: float
    fit_seconds: float


def judge(
    model: Callable[[Settings], Estimator],
    config: Settings,
    folds: Sequence[Split],
    metric: str,
    *,
    share: float = 1.0,
    seed: int = 0,
    now: Now,
    tell: Callable[[str], None] = lambda doing: None,
) -> Judged:
    """Fit and measure on every fold with a share of the full resource.

    The resource is the config's iterations or epochs where it has some, otherwise a sample of the shoppers.
    tell is called before every fit with "", within it with what it does, and between blocks of users; what it
    raises passes through.
    """
    qualities, fitting, kept = [], 0.0, (0, 0.0)
    tested: list[tuple[Int32, Int32, Float32]] = []
    reduced = fewer_iterations(config, share)
    for fold in folds:
        tell("")
        part = fold if share == 1 or reduced != config else sample_users(fold, share, seed)
        started = now()
        fitted = model(reduced).fit(
            part.train, context=part.context, progress=lambda at: tell(f": {at.message}")
        )
        fitting += now() - started
        values = per_user_quality(fitted, part, metric, lambda: tell(": ranking"))
        qualities.append(mean_quality(values, part, metric))
        counts = np.diff(part.test.indptr).astype(np.int32)
        tested.append((np.flatnonzero(counts).astype(np.int32), counts[counts > 0], values))
        if share == 1:
            kept = model_bytes(fitted), latency_ms(fitted, part, length_of(metric), now)
    users, relevant, each = (np.concatenate(column) for column in zip(*tested, strict=True))
    return Judged(float(np.mean(qualities)), PerUser(users, relevant, {metric: each}), *kept, fitting)


def fewer_iterations(config: Settings, share: float) -> Settings:
    """Give the config with a share of its iterations, at least one; unchanged when it has none."""
    resource = next((name for name in RESOURCES if name in asdict(config)), None)
    if resource is None or share == 1:
        return config
    return replace(config, **{resource: max(1, round(getattr(config, resource) * share))})


def sample_users(fold: Split, share: float, seed: int) -> Split:
    """Keep the rows of a share of the shoppers, the same ones for every setting; positions stay.

    The fold comes back unchanged when too few of the kept ones are tested.
    """
    kept = np.random.default_rng(seed).random(fold.train.shape[0]) < share
    train, test = keep_rows(fold.train, kept), keep_rows(fold.test, kept)
    tested = int((np.diff(test.indptr) > 0).sum())
    if tested < ENOUGH_TESTED:
        return fold
    times = fold.context.times
    if times is not None:
        times = times[np.repeat(kept, np.diff(fold.train.indptr))]
    context = Context(times, fold.context.items)
    return replace(
        fold, train=train, test=test, context=context, n_test_users=tested, n_test_interactions=test.nnz
    )


def keep_rows(matrix: sp.csr_matrix, kept: npt.NDArray[Any]) -> sp.csr_matrix:
    """Empty the rows that are not kept; kept: (n_rows,) bool."""
    lengths = np.diff(matrix.indptr)
    entries = np.repeat(kept, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths * kept)]).astype(matrix.indptr.dtype)
    return sp.csr_matrix((matrix.data[entries], matrix.indices[entries], indptr), shape=matrix.shape)


def length_of(metric: str) -> int:
    """Read the list length of "ndcg@20"; that of lists where the metric judges none."""
    return int(metric.partition("@")[2] or LIST)


def mean_quality(values: Float32, fold: Split, metric: str) -> float:
    """Average over users; root mean square errors over all pairs, as `evaluate` gives them."""
    if metric != "rmse":
        return float(values.mean(dtype=np.float64))
    counts = np.diff(fold.test.indptr)
    return float(np.sqrt(np.average(values.astype(np.float64) ** 2, weights=counts[counts > 0])))


def per_user_quality(
    model: Estimator, fold: Split, metric: str, between: Callable[[], None] = lambda: None
) -> Float32:
    """Measure one metric for each tested user, (n,) float32, on the whole catalogue.

    between is called between blocks of users.
    """
    k = length_of(metric)
    users = np.flatnonzero(np.diff(fold.test.indptr)).astype(np.int32)
    if metric == "rmse":
        return errors_by_user(model, fold, users)
    hits = []
    with BLAS.limit(limits=1, user_api="blas"):
        for start in range(0, len(users), USERS_AT_ONCE):
            between()
            block: Int32 = users[start : start + USERS_AT_ONCE]
            top = model.recommend(block, k, seen=fold.train[block]).items
            hits.append(find_hits(top, fold.test[block]))
    relevant = np.diff(fold.test.indptr)[users].astype(np.int32)
    return per_user_metrics(np.concatenate(hits), relevant, (k,))[metric]


def model_bytes(model: Estimator) -> int:
    """Count the bytes of the members that an artifact keeps of this model, without ids and histories."""
    return sum(array.nbytes for array in model.arrays().values())


def latency_ms(model: Estimator, fold: Split, k: int, now: Now) -> float:
    """Measure the median time of one tested user's list, in milliseconds."""
    users = np.flatnonzero(np.diff(fold.test.indptr))
    asked = np.resize(users, ASKED + 1)
    seen = [fold.train[user] for user in asked]
    times = []
    for user, row in zip(asked, seen, strict=True):
        started = now()
        model.recommend(np.array([user], np.int32), k, seen=row)
        times.append(now() - started)
    return float(np.median(times[1:])) * 1000
