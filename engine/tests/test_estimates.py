"""What a fit is said to need before it starts is what it needs."""

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.base import Context
from engine.items import ItemFacts
from engine.parameters import make_config
from engine.synthetic import make_shop


@cache
def random_shop(n_users: int, n_items: int, wanted: int) -> sp.csr_matrix:
    pairs = np.unique(np.random.default_rng(0).integers(0, n_users * n_items, wanted))
    values = np.random.default_rng(1).integers(1, 6, len(pairs)).astype(np.float32)
    return sp.csr_matrix((values, (pairs // n_items, pairs % n_items)), shape=(n_users, n_items))


@cache
def facts_of(n_items: int) -> ItemFacts:
    return make_shop(n_users=20, n_items=n_items, n_interactions=50).facts


def known_of(matrix: sp.csr_matrix) -> Context:
    return Context(np.arange(matrix.nnz, dtype=np.int64), facts_of(matrix.shape[1]))


SHAPES = [(20_000, 8_000, 300_000), (3_000, 3_000, 100_000), (30_000, 2_000, 400_000)]
CASES = [
    ("popularity", {}),
    ("popularity_recent", {}),
    ("popularity_category", {}),
    ("item_knn", {}),
    ("item_knn", {"neighbours": 200, "weighting": "cosine"}),
    ("item_graph", {}),
    ("item_graph", {"sharpness": 0.9}),
    ("user_knn", {}),
    ("item_knn", {"weighting": "pearson"}),
    ("als", {"factors": 64, "iterations": 1}),
    ("als", {"factors": 128, "iterations": 1, "values": "confidence"}),
    ("content", {}),
    ("bpr", {"epochs": 1}),
    ("biased_mf", {"epochs": 1}),
    ("biased_mf", {"epochs": 1, "solver": "als", "factors": 16}),
    ("pure_svd", {"factors": 16, "values": "use"}),
    ("hybrid", {}),
]


def test_every_algorithm_is_measured() -> None:
    assert {name for name, _ in CASES} | {"ease"} == set(ALGORITHMS)


@pytest.mark.parametrize(
    ("name", "values", "shape"),
    [(*case, shape) for case in CASES for shape in SHAPES] + [("ease", {}, (3_000, 1_500, 100_000))],
)
def test_memory_is_estimated_within_30_percent(
    name: str, values: dict[str, Any], shape: tuple[int, ...]
) -> None:
    matrix = random_shop(*shape)
    algorithm = ALGORITHMS[name]
    config = make_config(algorithm.Config, values)
    few = random_shop(50, 60, 600)
    algorithm(config).fit(few, context=known_of(few))
    context = known_of(matrix)
    tracemalloc.start()
    try:
        algorithm(config).fit(matrix, context=context)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    estimate = algorithm.estimate(config, *matrix.shape, matrix.nnz).memory_bytes
    assert 0.7 < estimate / peak < 1.3
