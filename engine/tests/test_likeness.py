"""Who is most like whom, for everybody at once."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.base import Context
from engine.estimators.likeness import alike_rows
from engine.items import ItemFacts
from engine.testing import random_matrix

N = 3000
MATRIX = random_matrix(40, N, N, density=0.003)
CONTEXT = Context(
    np.arange(MATRIX.nnz, dtype=np.int64),
    ItemFacts.of(
        [f"Oak board {n % 50} shade {n % 7}" for n in range(N)],
        [f"kind {n % 9}" for n in range(N)],
        np.full(N, 9.9),
    ),
)


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_everybody_at_once_needs_no_square_matrix_and_gets_what_each_gets_alone(name: str) -> None:
    model = ALGORITHMS[name](threads=1).fit(MATRIX, context=CONTEXT)
    everybody = np.arange(N)
    for ask in (model.similar_items, model.similar_users):
        tracemalloc.start()
        found = ask(everybody, 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < N * N * 4 * 0.7
        for at in (0, 255, 256, N - 1):
            alone = ask(np.array([at]), 5)
            np.testing.assert_array_equal(alone.items[0], found.items[at])
            np.testing.assert_allclose(alone.scores[0], found.scores[at], rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_most_alike_are_those_of_a_dense_reference(threads: int) -> None:
    dense = random_matrix(41, 300, 50).toarray()
    dense[[7, 9]] = dense[3]  # equals: ties go to the lower position
    dense[11] = 0
    matrix, dense = sp.csr_matrix(dense), dense.astype(float)
    lengths = np.maximum(np.linalg.norm(dense, axis=1), 1e-9)
    likeness = np.round(dense @ dense.T / lengths[:, None] / lengths, 6)
    np.fill_diagonal(likeness, 0)
    asked = np.array([3, 7, 9, 11, 299, 3], np.int32)
    found = alike_rows(matrix, asked, 40, threads)
    for row, items, scores in zip(asked, found.items, found.scores, strict=True):
        order = [at for at in np.argsort(-likeness[row], kind="stable")[:40] if likeness[row, at] > 0]
        np.testing.assert_allclose(scores[: len(order)], likeness[row, order], atol=2e-6)
        assert (items[len(order) :] == -1).all()
        assert row not in items
    assert found.items[1, :2].tolist() == [3, 9]
    assert (found.items[3] == -1).all()
