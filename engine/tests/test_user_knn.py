"""Shopper neighbours are those of a dense reference, and a score falls apart into the items behind it."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators.user_knn import UserKNN, UserKNNConfig
from engine.testing import EstimatorContract, random_matrix


def likenesses(dense: np.ndarray, weighting: str) -> np.ndarray:
    """Compare all rows with all rows, slowly."""
    if weighting == "jaccard":
        shared, counts = dense @ dense.T, dense.sum(axis=1)
        return shared / np.maximum(counts[:, None] + counts - shared, 1e-9)
    if weighting == "tfidf":
        dense = dense * np.log1p(len(dense) / np.maximum(dense.sum(axis=0), 1))
    return dense @ dense.T / np.maximum(np.linalg.norm(dense, axis=1), 1e-9)


class TestUserKNN(EstimatorContract):
    algorithm = UserKNN


class TestUserKNNByJaccard(EstimatorContract):
    algorithm = UserKNN
    config = UserKNNConfig(weighting="jaccard")


class TestUserKNNByBM25(EstimatorContract):
    algorithm = UserKNN
    config = UserKNNConfig(weighting="bm25", values="confidence")


class TestUserKNNByPearson(EstimatorContract):
    algorithm = UserKNN
    config = UserKNNConfig(weighting="pearson")
    learns_tastes = False  # the contract's patterns are all ones, and equal values have no correlation

    def test_likeness_is_the_correlation_over_what_both_rated(self) -> None:
        matrix = random_matrix(12, density=0.4)
        dense = matrix.toarray().astype(float)
        rated = dense > 0
        less = np.where(rated, dense - (dense.sum(axis=1) / np.maximum(rated.sum(axis=1), 1))[:, None], 0)
        own, shared = less**2 @ rated.T, less @ less.T
        lengths = np.sqrt(own * own.T)
        expected = np.divide(shared, lengths, out=np.zeros_like(shared), where=lengths > 0)
        found = self.fitted(matrix).neighbours_.toarray()
        np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-5)

    def test_an_explanation_is_of_the_score_of_the_list(self) -> None:
        matrix = random_matrix(4, density=0.4)
        model = self.fitted(matrix)
        for user in range(10):
            item = int(model.recommend(np.array([user]), 1, seen=matrix[user]).items[0, 0])
            score = model.score(np.array([user]), np.array([item]))[0]
            assert model.explain(matrix[user], item, 45).score == pytest.approx(score, rel=1e-3)


@pytest.mark.parametrize("weighting", ["cosine", "jaccard", "tfidf"])
def test_scores_are_those_of_a_dense_reference(weighting: str) -> None:
    matrix = random_matrix(12)
    dense = (matrix.toarray() > 0).astype(float)
    expected = likenesses(dense, weighting) @ dense
    model = UserKNN(UserKNNConfig(weighting=weighting)).fit(matrix)
    for user in range(60):
        found = model.score(np.full(45, user), np.arange(45))
        np.testing.assert_allclose(found, expected[user], rtol=1e-4, atol=1e-5)


def test_few_neighbours_are_the_best_and_thread_counts_change_nothing() -> None:
    matrix = random_matrix(16, n_users=300, n_items=200)
    few = UserKNNConfig(weighting="cosine", neighbours=7)
    one, two = (UserKNN(few, threads=threads).fit(matrix).neighbours_ for threads in (1, 2))
    np.testing.assert_array_equal(one.indices, two.indices)
    np.testing.assert_array_equal(one.data, two.data)
    expected = np.sort(likenesses((matrix.toarray() > 0).astype(float), "cosine"), axis=1)[:, -7:]
    np.testing.assert_allclose(np.sort(one.data.reshape(300, 7), axis=1), expected, rtol=1e-5)


def test_a_shopper_unlike_all_others_gets_nothing() -> None:
    matrix = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], np.float32))
    found = UserKNN().fit(matrix).recommend(np.array([2]), 2, seen=matrix[2])
    assert found.items.tolist() == [[-1, -1]]
