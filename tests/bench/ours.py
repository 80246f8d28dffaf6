"""The project's side of each comparison."""

from typing import Any

import numpy as np
from files import keep, read_matrix, timed

from engine.estimators import ALGORITHMS
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import Context
from engine.parameters import make_config
from engine.synthetic import make_shop

READY: set[str] = set()


def fit(algorithm: str, matrix: str, config: dict[str, Any], out: str | None = None) -> dict[str, Any]:
    """Fit any estimator on a matrix; seconds without compiling, estimates beside them."""
    kind, data = ALGORITHMS[algorithm], read_matrix(matrix)
    chosen = make_config(kind.Config, config)
    if f"{algorithm}{config}" not in READY:
        kind(chosen).fit(data[:64])
        READY.add(f"{algorithm}{config}")
    seconds, model = timed(lambda: kind(chosen).fit(data))
    arrays = model.arrays()
    factors = {name: arrays[name] for name in ("user_factors", "item_factors") if name in arrays}
    expected = kind.estimate(chosen, *data.shape, data.nnz)
    return keep(out, **factors) | {"seconds": seconds, "estimated_seconds": expected.seconds}


def recommend_all(factors: str, seen: str, k: int) -> dict[str, Any]:
    """Rank for every user, seen items left out; users per second."""
    model, matrix = _of_factors(factors), read_matrix(seen)
    users = np.arange(matrix.shape[0])
    model.recommend(users[:256], k, seen=matrix[:256])
    seconds, _ = timed(lambda: model.recommend(users, k, seen=matrix))
    return {"per_second": len(users) / seconds}


def recommend_one(factors: str, seen: str, k: int, users: list[int]) -> dict[str, Any]:
    """Rank for one user at a time; the 99th percentile of the seconds."""
    model, matrix = _of_factors(factors), read_matrix(seen)
    rows = [matrix[user] for user in users]
    asked = [np.array([user]) for user in users]
    model.recommend(asked[0], k, seen=rows[0])
    times = [
        timed(lambda user=user, row=row: model.recommend(user, k, seen=row))[0]
        for user, row in zip(asked, rows, strict=True)
    ]
    return {"seconds": float(np.percentile(times, 99))}


def predict(algorithm: str, matrix: str, test: str, config: dict[str, Any]) -> dict[str, Any]:
    """Fit ratings, then measure RMSE on test ratings."""
    kind, data, held_out = ALGORITHMS[algorithm], read_matrix(matrix), read_matrix(test).tocoo()
    chosen = make_config(kind.Config, config)
    kind(chosen).fit(data[:64])
    seconds, model = timed(lambda: kind(chosen).fit(data))
    error = model.score(held_out.row, held_out.col) - held_out.data
    return {"seconds": seconds, "rmse": float(np.sqrt(np.mean(np.square(error))))}


def estimates() -> dict[str, Any]:
    """Fit every algorithm on a generated shop: [estimated seconds, the least of three fits' seconds]."""
    shop = make_shop(n_users=6_000, n_items=3_000, n_interactions=300_000)
    data = shop.interactions.matrix()
    context = Context(shop.interactions.matrix_times(), shop.facts)
    found = {}
    for name, kind in ALGORITHMS.items():
        taken = [timed(lambda kind=kind: kind().fit(data, context=context))[0] for _ in range(4)]
        found[name] = [kind.estimate(kind.Config(), *data.shape, data.nnz).seconds, min(taken[1:])]
    return {"seconds": found}


def _of_factors(path: str) -> ALS:
    """Make a model that scores with the peer's own factors, so that both rank the same."""
    with np.load(path, allow_pickle=False) as stored:
        users, items = stored["user_factors"], stored["item_factors"]
    arrays = ALS(ALSConfig(factors=users.shape[1], iterations=1)).fit(read_unit(len(users))).arrays()
    arrays |= {"user_factors": users, "item_factors": items}
    config = ALSConfig(factors=users.shape[1])
    return ALS.from_arrays(config, arrays, n_users=len(users), n_items=len(items))


def read_unit(size: int) -> Any:
    import scipy.sparse as sp

    return sp.eye(min(size, 64), format="csr", dtype=np.float32)


JOBS = {
    "fit": fit,
    "recommend_all": recommend_all,
    "recommend_one": recommend_one,
    "predict": predict,
    "estimates": estimates,
}
