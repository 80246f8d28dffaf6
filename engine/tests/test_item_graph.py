"""The item graph walks as its papers say, and item neighbours are like each other as their formulas say."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators.item_graph import ItemGraph, ItemGraphConfig
from engine.estimators.item_knn import ItemKNN, ItemKNNConfig
from engine.estimators.sharpening import spectral_radius
from engine.testing import EstimatorContract, random_matrix


class TestItemGraph(EstimatorContract):
    algorithm = ItemGraph

    @pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (1.0, 0.1), (1.6, 0.7)])
    def test_weights_are_those_of_a_dense_walk(self, alpha: float, beta: float) -> None:
        matrix = random_matrix(12)
        dense = (matrix.toarray() > 0).astype(float)
        to_user = dense.T / np.maximum(dense.sum(axis=0), 1)[:, None]
        to_item = dense / np.maximum(dense.sum(axis=1), 1)[:, None]
        expected = to_user**alpha @ to_item**alpha / np.maximum(dense.sum(axis=0), 1) ** beta
        np.fill_diagonal(expected, 0)
        found = ItemGraph(ItemGraphConfig(alpha=alpha, beta=beta)).fit(matrix).similarity_.toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

    def test_only_the_best_are_kept_and_thread_counts_change_nothing(self) -> None:
        matrix = random_matrix(16, n_users=300, n_items=200)
        few = ItemGraphConfig(neighbours=7)
        one, two = (ItemGraph(few, threads=threads).fit(matrix).similarity_ for threads in (1, 2))
        assert (np.diff(one.indptr) == 7).all()
        np.testing.assert_array_equal(one.indices, two.indices)
        np.testing.assert_array_equal(one.data, two.data)


class TestItemGraphWithConfidence(EstimatorContract):
    algorithm = ItemGraph
    config = ItemGraphConfig(values="confidence")

    @pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.1), (1.6, 0.7)])
    def test_weights_are_those_of_a_dense_walk_by_shares(self, alpha: float, beta: float) -> None:
        matrix = random_matrix(12)
        dense = matrix.toarray().astype(float)
        of_item, of_user = (np.maximum(dense.sum(axis=axis), 1) for axis in (0, 1))
        expected = (dense.T / of_item[:, None]) ** alpha @ (dense / of_user[:, None]) ** alpha / of_item**beta
        np.fill_diagonal(expected, 0)
        config = ItemGraphConfig(alpha=alpha, beta=beta, values="confidence")
        found = ItemGraph(config).fit(matrix).similarity_.toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)

    def test_ones_walk_as_if_values_were_ignored(self) -> None:
        matrix = random_matrix(13)
        matrix.data[:] = 1
        plain, weighed = ItemGraph().fit(matrix).similarity_, self.fitted(matrix).similarity_
        np.testing.assert_array_equal(weighed.toarray(), plain.toarray())


class TestASharpItemGraph(EstimatorContract):
    algorithm = ItemGraph
    config = ItemGraphConfig(alpha=0.5, beta=0.2, sharpness=0.9)

    def test_two_step_walks_are_taken_off_where_a_walk_of_one_step_is_known(self) -> None:
        matrix = random_matrix(12)
        walk = ItemGraph(ItemGraphConfig(alpha=0.5, beta=0.2)).fit(matrix).similarity_.toarray()
        radius = np.abs(np.linalg.eigvals(walk)).max()
        expected = np.where(walk > 0, np.maximum(walk - 0.9 / radius * walk @ walk, 0), 0)
        found = self.fitted(matrix).similarity_
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-3, atol=1e-5)
        for row in range(found.shape[0]):
            assert (np.diff(found.data[found.indptr[row] : found.indptr[row + 1]]) <= 0).all()

    def test_thread_counts_change_nothing(self) -> None:
        matrix = random_matrix(16, n_users=300, n_items=200)
        one, two = (ItemGraph(self.config, threads=threads).fit(matrix).similarity_ for threads in (1, 2))
        np.testing.assert_array_equal(one.indices, two.indices)
        np.testing.assert_array_equal(one.data, two.data)

    def test_a_graph_without_a_circle_has_nothing_to_take_off(self) -> None:
        assert spectral_radius(sp.csr_matrix(np.triu(np.ones((5, 5), np.float32), 1))) == 0

    @pytest.mark.parametrize("weights", [[[0, 4], [1, 0]], [[0, 1, 0], [0, 0, 8], [1, 0, 0]]])
    def test_the_radius_of_a_circle_is_found_though_its_walk_never_settles(
        self, weights: list[list[float]]
    ) -> None:
        assert spectral_radius(sp.csr_matrix(weights, dtype=np.float32)) == pytest.approx(2, rel=0.06)


class TestItemKNNByJaccard(EstimatorContract):
    algorithm = ItemKNN
    config = ItemKNNConfig(weighting="jaccard", neighbours=200, shrinkage=0.0)

    def test_likeness_is_shared_shoppers_over_all_shoppers(self) -> None:
        matrix = random_matrix(12)
        dense = (matrix.toarray() > 0).astype(float)
        shared, counts = dense.T @ dense, dense.sum(axis=0)
        expected = shared / np.maximum(counts[:, None] + counts - shared, 1)
        np.fill_diagonal(expected, 0)
        np.testing.assert_allclose(self.fitted(matrix).similarity_.toarray(), expected, atol=1e-6)


class TestItemKNNByPearson(EstimatorContract):
    algorithm = ItemKNN
    config = ItemKNNConfig(weighting="pearson", neighbours=200, shrinkage=0.0)
    learns_tastes = False  # the contract's patterns are all ones, and equal values have no correlation

    def test_likeness_is_the_correlation_over_those_who_rated_both(self) -> None:
        matrix = random_matrix(12, density=0.4)
        dense = matrix.toarray().astype(float)
        rated = dense > 0
        less = np.where(rated, dense - dense.sum(axis=0) / np.maximum(rated.sum(axis=0), 1), 0)
        expected = np.zeros((45, 45))
        for i in range(45):
            for j in range(45):
                both = rated[:, i] & rated[:, j]
                length = np.linalg.norm(less[both, i]) * np.linalg.norm(less[both, j])
                expected[i, j] = less[both, i] @ less[both, j] / length if i != j and length else 0
        found = self.fitted(matrix).similarity_.toarray()
        np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-5)
