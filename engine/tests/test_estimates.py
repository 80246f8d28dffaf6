"""What a fit is said to need before it starts is what it needs."""

import json
import os
import subprocess
import sys
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
from engine.tests.memory_process import CASES as SKEWED


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


PAGES = 1_000_000  # bytes of libraries that a fit touches first, which no estimate counts
SHAPE = (12_000, 5_000, 150_000)
OTHER_SHAPES = [(2_000, 2_000, 60_000), (20_000, 1_500, 220_000)]
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
    [
        *[(*case, SHAPE) for case in CASES],
        ("ease", {}, (3_000, 1_500, 100_000)),
        *[pytest.param(*case, shape, marks=pytest.mark.long) for case in CASES for shape in OTHER_SHAPES],
    ],
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


@pytest.mark.long
def test_memory_is_estimated_within_30_percent_in_a_shop_of_best_sellers_and_a_long_tail() -> None:
    # Freed arrays go back to the system at once, so that no fit lives in what loading the kernels left.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    asked = [sys.executable, "-m", "engine.tests.memory_process"]
    told = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    measured = {
        f"{name} {values}": pair for (name, values), pair in zip(SKEWED, json.loads(told.stdout), strict=True)
    }
    assert {name for name, _ in SKEWED} == set(ALGORITHMS)
    wrong = {
        case: f"estimated {estimate / 1e6:.1f} MB, took {peak / 1e6:.1f} MB"
        for case, (estimate, peak) in measured.items()
        if not 0.7 * peak - PAGES < estimate < 1.3 * peak + PAGES
    }
    assert not wrong
