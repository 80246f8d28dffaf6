"""Every formula against an independent implementation: ranx for rankings, scikit-learn for the rest."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import mean_absolute_error, mean_squared_error, ndcg_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from engine.auc import area_under_curve
from engine.beyond_accuracy import diversity
from engine.estimators import ALGORITHMS
from engine.evaluation import evaluate
from engine.metrics import NAMES, find_hits, per_user_metrics
from engine.splitting import Split, SplitConfig
from engine.topk import top_k

BY_RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
asked = json.load(sys.stdin)
run = {user: {item: float(score) for item, score in items.items()} for user, items in asked["run"].items()}
found = evaluate(Qrels(asked["qrels"]), Run(run), asked["names"])
print(json.dumps({name: float(value) for name, value in found.items()}))
"""
N_USERS, N_ITEMS, DEPTH = 40, 60, 20


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    return np.random.default_rng(0).permuted(
        np.tile(np.arange(N_ITEMS, dtype=np.float32), (N_USERS, 1)), axis=1
    )


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Hold out 1 to 5 items of each user: no more than the shortest list, where the definitions agree."""
    rng = np.random.default_rng(1)
    chosen = np.zeros((N_USERS, N_ITEMS), np.float32)
    for row in chosen:
        row[rng.choice(N_ITEMS, rng.integers(1, 6), replace=False)] = 1
    return chosen


def test_ranking_metrics_agree_with_ranx(scores: np.ndarray, truth: np.ndarray) -> None:
    top, _ = top_k(scores, DEPTH)
    relevant = truth.sum(axis=1).astype(np.int32)
    found = per_user_metrics(find_hits(top, sp.csr_matrix(truth)), relevant, (5, 10, 20))
    names = [f"{name}@{k}" for name in NAMES for k in (5, 10, 20)]
    asked = {
        "qrels": {f"u{u}": {f"i{i}": 1 for i in np.flatnonzero(row)} for u, row in enumerate(truth)},
        "run": {f"u{u}": {f"i{i}": DEPTH - at for at, i in enumerate(row)} for u, row in enumerate(top)},
        "names": names,
    }
    # In a process of its own, uncompiled: compiling ranx takes twenty seconds, and warns.
    done = subprocess.run(
        [sys.executable, "-c", BY_RANX],
        input=json.dumps(asked),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(done.stdout)
    for name in names:
        assert found[name].mean(dtype=float) == pytest.approx(expected[name], abs=1e-6), name


def test_ndcg_agrees_with_scikit_learn(scores: np.ndarray, truth: np.ndarray) -> None:
    top, _ = top_k(scores, DEPTH)
    found = per_user_metrics(
        find_hits(top, sp.csr_matrix(truth)), truth.sum(axis=1).astype(np.int32), (5, 20)
    )
    for k in (5, 20):
        assert found[f"ndcg@{k}"].mean() == pytest.approx(ndcg_score(truth, scores, k=k), abs=1e-6)


@pytest.mark.parametrize("algorithm", ["als", "popularity"])  # popularity scores many items alike
def test_auc_agrees_with_scikit_learn(algorithm: str, truth: np.ndarray) -> None:
    seen = (np.random.default_rng(2).random((N_USERS, N_ITEMS)) < 0.15) & (truth == 0)
    train = sp.csr_matrix(seen.astype(np.float32))
    model = ALGORITHMS[algorithm]().fit(train)
    users = np.arange(N_USERS, dtype=np.int32)
    found = area_under_curve(model, users, train, sp.csr_matrix(truth))
    for user in range(N_USERS):
        asked = np.flatnonzero(~seen[user])
        scored = model.score(np.full(len(asked), user, np.int32), asked)
        assert found[user] == pytest.approx(roc_auc_score(truth[user, asked], scored), abs=1e-5)


def test_auc_leaves_out_a_held_out_choice_that_was_trained_on() -> None:
    train = sp.csr_matrix(np.array([[0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], np.float32))
    both = sp.csr_matrix(np.array([[1, 1, 0, 0]], np.float32))
    once = sp.csr_matrix(np.array([[1, 0, 0, 0]], np.float32))
    model = ALGORITHMS["popularity"]().fit(train)
    users = np.arange(1)
    assert area_under_curve(model, users, train[:1], both) == 1
    np.testing.assert_array_equal(
        area_under_curve(model, users, train[:1], both), area_under_curve(model, users, train[:1], once)
    )


def test_auc_is_undefined_without_an_item_never_chosen() -> None:
    train = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 0]], np.float32))
    test = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 0]], np.float32))
    model = ALGORITHMS["popularity"]().fit(train)
    assert np.isnan(area_under_curve(model, np.arange(2), train, test)).all()


def test_errors_of_values_agree_with_scikit_learn(truth: np.ndarray) -> None:
    class Predicting(ALGORITHMS["als"]):  # type: ignore[misc]
        predicts_values = True

    rng = np.random.default_rng(3)
    values = rng.integers(1, 6, truth.shape) * truth
    test = sp.csr_matrix(values.astype(np.float32))
    train = sp.csr_matrix(((rng.random(truth.shape) < 0.2) & (truth == 0)).astype(np.float32))
    model = Predicting().fit(train)
    found = evaluate(model, Split(train, test, SplitConfig(), "", N_USERS, test.nnz, 0)).metrics
    users, items = test.nonzero()
    predicted = model.score(users, items)
    assert found["rmse"].value == pytest.approx(mean_squared_error(test.data, predicted) ** 0.5, rel=1e-6)
    assert found["mae"].value == pytest.approx(mean_absolute_error(test.data, predicted), rel=1e-6)
    assert found["rmse"].low is not None
    assert found["rmse"].high is not None
    assert found["rmse"].low < found["rmse"].value < found["rmse"].high


def test_diversity_agrees_with_scikit_learns_cosines(scores: np.ndarray) -> None:
    chosen = (np.random.default_rng(4).random((30, N_ITEMS)) < 0.3).astype(np.float32)
    chosen[:, 7] = 0  # nobody chose it: it has nothing in common with any
    top, _ = top_k(scores, 5)
    top[0, 2:], top[1, 1:] = -1, -1
    cosines = cosine_similarity(chosen.T)
    found = diversity(top, sp.csr_matrix(chosen))
    for row, items in enumerate(top):
        listed = items[items >= 0]
        pairs = [1 - cosines[a, b] for at, a in enumerate(listed) for b in listed[:at]]
        assert found[row] == pytest.approx(np.mean(pairs), abs=1e-5) if pairs else np.isnan(found[row])
