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
    ones = np.ones(len(pairs), np.float32)
    return sp.csr_matrix((ones, (pairs // n_items, pairs % n_items)), shape=(n_users, n_items))


@cache
def facts_of(n_items: int) -> ItemFacts:
    return make_shop(n_users=20, n_items=n_items, n_interactions=50).facts


@pytest.mark.parametrize(
    "shape", [(20_000, 8_000, 300_000), (3_000, 3_000, 100_000), (50_000, 2_000, 900_000)]
)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("popularity", {}),
        ("item_knn", {}),
        ("item_knn", {"neighbours": 200, "weighting": "cosine"}),
        ("item_graph", {}),
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
    ],
)
def test_memory_is_estimated_within_30_percent(
    name: str, values: dict[str, Any], shape: tuple[int, ...]
) -> None:
    matrix = random_shop(*shape)
    algorithm = ALGORITHMS[name]
    config = make_config(algorithm.Config, values)
    few = random_shop(50, 60, 600)
    algorithm(config).fit(few, context=Context(items=facts_of(60)))
    context = Context(items=facts_of(shape[1]))
    tracemalloc.start()
    try:
        algorithm(config).fit(matrix, context=context)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    estimate = algorithm.estimate(config, *matrix.shape, matrix.nnz).memory_bytes
    assert 0.7 < estimate / peak < 1.3
