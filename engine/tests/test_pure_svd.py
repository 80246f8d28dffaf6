"""PureSVD keeps the contract and finds what a dense decomposition finds."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackNoConvergence

from engine.estimators.pure_svd import PureSVD, PureSVDConfig
from engine.testing import EstimatorContract, check_lists, random_matrix, same_lists


class TestPureSVD(EstimatorContract):
    algorithm = PureSVD
    config = PureSVDConfig(factors=4)


class TestPureSVDOfValues(EstimatorContract):
    algorithm = PureSVD
    config = PureSVDConfig(factors=6, values="use")


# 60 × 45 is solved densely, 700 × 400 by Lanczos iteration, either way round
@pytest.mark.parametrize("shape", [(60, 45), (45, 60), (700, 400), (400, 700)])
@pytest.mark.parametrize("values", ["ignore", "use"])
def test_scores_are_those_of_a_truncated_dense_decomposition(shape: tuple[int, int], values: str) -> None:
    matrix = random_matrix(20, *shape)
    model = PureSVD(PureSVDConfig(factors=12, values=values)).fit(matrix)
    dense = matrix.toarray().astype(float) if values == "use" else (matrix.toarray() > 0).astype(float)
    left, strengths, right = np.linalg.svd(dense)
    expected = (left[:, :12] * strengths[:12]) @ right[:12]
    np.testing.assert_allclose(model.strengths_, strengths[:12], rtol=1e-5)
    np.testing.assert_allclose(model.user_factors_ @ model.item_factors_.T, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(60, 45), (45, 60)])
def test_more_factors_than_directions_give_the_matrix_back(shape: tuple[int, int]) -> None:
    matrix = random_matrix(21, *shape)
    model = PureSVD(PureSVDConfig(factors=100, values="use")).fit(matrix)
    np.testing.assert_allclose(model.user_factors_ @ model.item_factors_.T, matrix.toarray(), atol=1e-4)
    assert (model.item_factors_[:, 45:] == 0).all()


def test_directions_that_the_matrix_does_not_have_stay_empty() -> None:
    tastes = np.random.default_rng(0)
    matrix = sp.csr_matrix(tastes.random((600, 3)) @ tastes.random((3, 500)), dtype=np.float32)
    model = PureSVD(PureSVDConfig(factors=8, values="use")).fit(matrix)
    assert (model.strengths_[:3] > 0).all()
    assert (model.item_factors_[:, 3:] == 0).all()
    np.testing.assert_allclose(model.user_factors_ @ model.item_factors_.T, matrix.toarray(), rtol=1e-4)


TASTE = np.random.default_rng(1).random((2, 600)).astype(np.float32)
DEGENERATE = {
    "empty": np.zeros((600, 500), np.float32),
    "all equal": np.full((600, 500), 3, np.float32),
    "of rank 1": TASTE[0][:, None] * TASTE[1][:500],
    "of one row": np.eye(1, 600, 7, np.float32).T * np.ones((1, 500), np.float32),
}


@pytest.mark.parametrize("name", list(DEGENERATE))
@pytest.mark.parametrize("factors", [1, 32])
def test_matrices_with_next_to_nothing_in_them_are_fitted_by_iteration_too(name: str, factors: int) -> None:
    dense = DEGENERATE[name]
    model = PureSVD(PureSVDConfig(factors=factors, values="use")).fit(sp.csr_matrix(dense))
    np.testing.assert_allclose(model.user_factors_ @ model.item_factors_.T, dense, rtol=1e-4, atol=1e-5)
    assert np.count_nonzero(model.strengths_) == (name != "empty")
    check_lists(model.recommend(np.arange(600), 5), 500)


def never_ends(*_: object, **__: object) -> None:
    raise ArpackNoConvergence("No convergence", np.empty(0), np.empty((0, 0)))


def test_where_the_iteration_has_no_end_the_dense_solver_stands_in_or_the_refusal_is_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = random_matrix(20, 700, 400)
    expected = PureSVD(PureSVDConfig(factors=12)).fit(matrix).strengths_
    monkeypatch.setattr("engine.estimators.pure_svd.svds", never_ends)
    found = PureSVD(PureSVDConfig(factors=12)).fit(matrix).strengths_
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    monkeypatch.setattr("engine.estimators.pure_svd.DENSE_MOST", 399)
    with pytest.raises(ValueError, match="choose fewer factors"):
        PureSVD(PureSVDConfig(factors=12)).fit(matrix)


def test_a_second_fit_by_iteration_gives_the_same_bits() -> None:
    matrix = random_matrix(22, 700, 400)
    first, second = (PureSVD(PureSVDConfig(factors=20), threads=2).fit(matrix) for _ in range(2))
    same_lists(first.recommend(np.arange(700), 20), second.recommend(np.arange(700), 20))


def test_the_parts_of_an_explanation_add_up_and_are_what_leaving_an_item_out_takes_away() -> None:
    matrix = random_matrix(23)
    model = PureSVD(PureSVDConfig(factors=8, values="use")).fit(matrix)
    row, item = matrix[0], 7
    reasons = model._parts(row, item)
    assert reasons.contributions.sum() == pytest.approx(reasons.score, rel=1e-5)
    whole = model.score(model.fold_in(row), np.array([item]))[0]
    for owned, part in zip(reasons.items, reasons.contributions, strict=True):
        less = row.copy()
        less.data[less.indices == owned] = 0
        less.eliminate_zeros()
        without = model.score(model.fold_in(less), np.array([item]))[0]
        assert whole - without == pytest.approx(part, abs=1e-5)
