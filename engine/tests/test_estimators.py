"""Every algorithm keeps the contract; what only one of them promises stands beside its class."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.item_knn import ItemKNN, ItemKNNConfig
from engine.estimators.popularity import Popularity, PopularityConfig
from engine.testing import EstimatorContract, random_matrix


class TestPopularity(EstimatorContract):
    algorithm = Popularity
    learns_tastes = False
    has_causes = False

    def test_items_come_by_their_number_of_shoppers_and_ties_by_position(self) -> None:
        matrix = sp.csr_matrix(np.array([[5, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]], np.float32))
        assert Popularity().fit(matrix).recommend(np.array([0]), 4).items.tolist() == [[1, 2, 0, 3]]

    def test_values_can_count_instead_of_shoppers(self) -> None:
        matrix = sp.csr_matrix(np.array([[5, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]], np.float32))
        model = Popularity(PopularityConfig(count="values")).fit(matrix)
        assert model.recommend(np.array([0]), 4).items.tolist() == [[0, 1, 2, 3]]

    def test_it_says_that_the_history_has_no_part_in_it(self) -> None:
        reasons = Popularity().fit(random_matrix(0)).explain(random_matrix(0)[0], 3)
        assert len(reasons.items) == 0
        assert "no part" in reasons.note


class TestItemKNN(EstimatorContract):
    algorithm = ItemKNN


class TestItemKNNByCosine(EstimatorContract):
    algorithm = ItemKNN
    config = ItemKNNConfig(weighting="cosine", neighbours=200, shrinkage=0.0)

    def test_similarities_are_those_of_a_dense_reference(self) -> None:
        matrix = random_matrix(12)
        dense = (matrix.toarray() > 0).astype(float)
        norms = np.linalg.norm(dense, axis=0)
        expected = dense.T @ dense / np.maximum(norms[:, None] * norms, 1e-9)
        np.fill_diagonal(expected, 0)
        found = self.fitted(matrix).similarity_.toarray()
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_only_the_nearest_neighbours_are_kept_best_first(self) -> None:
        matrix = random_matrix(12)
        every = self.fitted(matrix).similarity_.toarray()
        few = ItemKNN(ItemKNNConfig(weighting="cosine", neighbours=4, shrinkage=0.0)).fit(matrix).similarity_
        for item in range(45):
            order = np.argsort(-every[item], kind="stable")[:4]
            kept = few.indices[few.indptr[item] : few.indptr[item + 1]]
            assert kept.tolist() == [int(other) for other in order if every[item, other] > 0]


class TestItemKNNByBM25(EstimatorContract):
    algorithm = ItemKNN
    config = ItemKNNConfig(weighting="bm25", values="confidence")


class TestALS(EstimatorContract):
    algorithm = ALS
    config = ALSConfig(factors=16)

    def test_the_last_half_sweep_solves_each_shoppers_ridge_problem(self) -> None:
        matrix = random_matrix(13)
        model = self.fitted(matrix)
        items = model.item_factors_.astype(float)
        alpha = 30 * matrix.nnz / (60 * 45)
        for user in range(60):
            history = items[matrix[user].indices]
            ridge = 0.01 * (len(history) + alpha * 45)
            system = history.T @ history + alpha * items.T @ items + ridge * np.eye(16)
            expected = np.linalg.solve(system, history.sum(axis=0))
            np.testing.assert_allclose(model.user_factors_[user], expected, atol=1e-4)

    def test_the_loss_falls_with_every_iteration(self) -> None:
        losses = []
        self.make().fit(random_matrix(14), progress=lambda report: losses.append(report.loss))
        falling = [loss for loss in losses if loss is not None]
        assert len(falling) == 10
        assert (np.diff(falling) < 0).all()


class TestALSWithConfidence(EstimatorContract):
    algorithm = ALS
    config = ALSConfig(factors=24, values="confidence")

    def test_a_stronger_yes_pulls_harder(self) -> None:
        matrix = random_matrix(15)
        model = self.fitted(matrix)
        weak = matrix[0].copy()
        strong = weak.copy()
        strong.data[0] = 50
        item = strong.indices[:1]
        assert model.score(model.fold_in(strong), item)[0] > model.score(model.fold_in(weak), item)[0]

    def test_factors_that_fill_no_whole_register_work(self) -> None:
        model = self.fitted(random_matrix(15))
        assert model.item_factors_.shape[1] == 32
        assert (model.item_factors_[:, 24:] == 0).all()


def test_thread_counts_change_no_list_of_neighbours() -> None:
    matrix = random_matrix(16, n_users=300, n_items=200)
    one, two = (ItemKNN(threads=threads).fit(matrix).similarity_ for threads in (1, 2))
    np.testing.assert_array_equal(one.toarray(), two.toarray())


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_every_algorithm_says_what_it_is_for(kind: type) -> None:
    assert kind.title
    assert kind.when_to_use.endswith(".")


def test_every_algorithm_has_a_class_that_holds_it_to_the_contract() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    held = {name for text in sources for name in re.findall(r"^    algorithm = (\w+)$", text, re.MULTILINE)}
    assert {kind.__name__ for kind in ALGORITHMS.values()} <= held


COLD = """
import sys, time
started = time.process_time()
from engine.estimators.als import ALS
from scipy.sparse import eye
ALS().fit(eye(40, format="csr", dtype="float32"))
print(time.process_time() - started)
print(*sorted(name for name in sys.modules if name.startswith("engine.estimators.")))
"""


def test_a_fresh_process_fits_within_half_a_second_from_kernels_on_disk() -> None:
    def start() -> list[str]:
        done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    deadline = 5 * 0.5  # five times the goal, since others may use the machine; NumPy, SciPy and Numba in it
    first = start()
    assert float(first[0]) < deadline or float(start()[0]) < deadline  # the first may have to compile
    needed = {
        "als",
        "als_kernel",
        "base",
        "factors",
        "kernels",
        "likeness",
        "longest_first",
        "nearest",
        "products",
    }
    assert {name.rpartition(".")[2] for name in first[1].split()} <= needed  # no other algorithm's module
