"""Measure what fits take, each in a process of its own: `python -m engine.tests.memory_process` prints JSON.

The shop has best sellers and a long tail, as shops do. Each case is fitted in a fork of a process that has
loaded the code and the data; its peak is what the system says (VmHWM), above what it held before.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.base import Context
from engine.items import ItemFacts
from engine.parameters import make_config
from engine.synthetic import make_shop

CASES: list[tuple[str, dict[str, Any]]] = [
    ("popularity", {}),
    ("popularity_recent", {}),
    ("popularity_category", {}),
    ("item_knn", {}),
    ("item_knn", {"neighbours": 200, "weighting": "cosine"}),
    ("item_knn", {"weighting": "pearson"}),
    ("item_graph", {}),
    ("item_graph", {"values": "confidence"}),
    ("item_graph", {"sharpness": 0.9}),
    ("user_knn", {}),
    ("ease", {}),
    ("als", {"factors": 64, "iterations": 1}),
    ("als", {"factors": 128, "iterations": 1, "values": "confidence"}),
    ("content", {}),
    ("bpr", {"epochs": 1}),
    ("bpr", {"epochs": 1, "values": "confidence"}),
    ("biased_mf", {"epochs": 1}),
    ("biased_mf", {"epochs": 1, "solver": "als", "factors": 16}),
    ("pure_svd", {"factors": 16, "values": "use"}),
    ("hybrid", {}),
]


def main() -> None:
    shop = make_shop(n_users=10_000, n_items=2_000, n_interactions=240_000)
    matrix, times = shop.interactions.matrix(), shop.interactions.matrix_times()
    context = Context(times, shop.facts)
    for name, values in CASES:
        _load(name, values)
    found = [_in_a_fork(name, values, matrix, context) for name, values in CASES]
    json.dump(found, sys.stdout)


def _in_a_fork(name: str, values: dict[str, Any], matrix: sp.csr_matrix, context: Context) -> list[int]:
    """Give [estimate, measured] in bytes."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(_measure(name, values, matrix, context)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return json.loads(told)


def _measure(name: str, values: dict[str, Any], matrix: sp.csr_matrix, context: Context) -> list[int]:
    algorithm = ALGORITHMS[name]
    config = make_config(algorithm.Config, values)
    _load(name, values)  # so that this process holds what a fit needs of the code
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    algorithm(config).fit(matrix, context=context)
    return [algorithm.estimate(config, *matrix.shape, matrix.nnz).memory_bytes, _status("VmHWM") - before]


def _load(name: str, values: dict[str, Any]) -> None:
    """Fit a little, so that the kernels are there; on one thread, since what forks should have no other."""
    few = sp.csr_matrix((np.random.default_rng(0).random((50, 60)) < 0.2).astype(np.float32))
    facts = ItemFacts.of([f"thing {at}" for at in range(60)], ["a", "b", "c"] * 20, np.ones(60))
    model = ALGORITHMS[name](make_config(ALGORITHMS[name].Config, values), threads=1)
    model.fit(few, context=Context(np.arange(few.nnz, dtype=np.int64), facts))


def _status(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
