"""EASE's weights are those of its closed form, and a catalogue beyond its reach is refused in words."""

import tracemalloc

import numpy as np
import pytest

from engine.estimators.ease import EASE, EASEConfig
from engine.testing import EstimatorContract, random_matrix


def closed_form(dense: np.ndarray, regularization: float) -> np.ndarray:
    inverse = np.linalg.inv(dense.T @ dense + regularization * np.eye(dense.shape[1]))
    weights = -inverse / np.diagonal(inverse)
    np.fill_diagonal(weights, 0)
    return weights


class TestEASE(EstimatorContract):
    algorithm = EASE
    config = EASEConfig(regularization=5.0)

    def test_weights_are_those_of_the_closed_form(self) -> None:
        matrix = random_matrix(12, n_users=900, n_items=300)
        expected = closed_form((matrix.toarray() > 0).astype(float), 5.0)
        np.testing.assert_allclose(self.fitted(matrix).similarity_.toarray(), expected, atol=2e-6)

    def test_the_largest_weights_of_either_sign_are_kept_best_first(self) -> None:
        matrix = random_matrix(12)
        expected = closed_form((matrix.toarray() > 0).astype(float), 5.0)
        near = EASE(EASEConfig(regularization=5.0, neighbours=6)).fit(matrix).similarity_
        for item in range(45):
            values = near.data[near.indptr[item] : near.indptr[item + 1]]
            largest = np.sort(np.abs(expected[item]))[-6:]
            np.testing.assert_allclose(np.sort(np.abs(values)), largest, atol=1e-5)
            assert (np.diff(values) <= 0).all()

    def test_thread_counts_change_no_list(self) -> None:
        matrix = random_matrix(16, n_users=300, n_items=200)
        one, two = (EASE(self.config, threads=threads).fit(matrix) for threads in (1, 2))
        lists = [each.recommend(np.arange(300), 10, seen=matrix) for each in (one, two)]
        np.testing.assert_allclose(lists[0].scores, lists[1].scores, rtol=1e-4, atol=1e-6)


class TestEASEWithConfidence(EstimatorContract):
    algorithm = EASE
    config = EASEConfig(regularization=20.0, neighbours=30, values="confidence")


def test_too_many_items_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match="at most 40 items and the data have 45"):
        EASE(EASEConfig(max_items=40)).fit(random_matrix(1))


def test_the_estimate_grows_with_the_cube_of_the_items() -> None:
    small, large = (EASE.estimate(EASEConfig(), 50_000, n, 1_000_000) for n in (10_000, 20_000))
    assert 6 < large.seconds / small.seconds < 8
    assert large.memory_bytes > 1.6e9


@pytest.mark.parametrize("neighbours", [100, 3000])
def test_memory_is_estimated_within_30_percent(neighbours: int) -> None:
    matrix = random_matrix(1, n_users=1500, n_items=2500, density=0.02)
    config = EASEConfig(neighbours=neighbours)
    tracemalloc.start()
    try:
        EASE(config).fit(matrix)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.7 < EASE.estimate(config, *matrix.shape, matrix.nnz).memory_bytes / peak < 1.3
