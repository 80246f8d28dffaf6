"""Biased matrix factorization keeps the contract, and predicts ratings that were planted."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import biased_mf
from engine.estimators.biased_mf import BiasedMF, BiasedMFConfig
from engine.estimators.strata import divide
from engine.testing import EstimatorContract, random_matrix


def planted(n_users: int = 300, n_items: int = 120) -> tuple[sp.csr_matrix, ...]:
    """Make ratings from biases and three tastes with a little noise: four fifths to learn, one to test."""
    rng = np.random.default_rng(3)
    tastes = rng.normal(0, 0.6, (n_users, 3)) @ rng.normal(0, 1, (3, n_items))
    ratings = 3 + rng.normal(0, 0.4, (n_users, 1)) + rng.normal(0, 0.5, n_items) + tastes
    ratings += rng.normal(0, 0.1, ratings.shape)
    kept, tested = rng.random(ratings.shape) < 0.5, rng.random(ratings.shape) < 0.2
    return tuple(
        sp.csr_matrix(np.where(part, ratings, 0).astype(np.float32))
        for part in (kept & ~tested, kept & tested)
    )


def rmse(model: BiasedMF, test: sp.csr_matrix) -> float:
    pairs = test.tocoo()
    return float(np.sqrt(np.mean(np.square(model.score(pairs.row, pairs.col) - pairs.data))))


class RatingContract(EstimatorContract):
    algorithm = BiasedMF
    learns_tastes = False  # the contract's patterns have one value only; tastes in ratings are tested below

    def test_planted_tastes_are_predicted_better_than_by_biases_alone(self) -> None:
        train, test = planted()
        whole = rmse(self.fitted(train), test)
        values = train.data
        pairs = test.tocoo()
        of_mean = np.sqrt(np.mean(np.square(values.mean() - pairs.data)))
        assert whole < 0.35 * of_mean

    def test_each_cause_is_what_the_prediction_loses_without_it(self) -> None:
        matrix = random_matrix(4)
        model = self.fitted(matrix)
        for user in range(5):
            row = matrix[user]
            item = int(model.recommend(np.array([user]), 1, seen=row).items[0, 0])
            reasons = model.explain(row, item, row.nnz)
            assert reasons.score == pytest.approx(
                float(model.score(np.array([user]), np.array([item]))[0]), abs=1e-4
            )
            less = row.copy()
            less.data[less.indices == reasons.items[0]] = 0
            less.eliminate_zeros()
            lost = reasons.score - model.score(model.fold_in(less), np.array([item]))[0]
            assert lost == pytest.approx(reasons.contributions[0], abs=1e-4)
            assert lost > 0

    def test_of_a_long_history_the_ratings_that_matter_are_tried(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train, _ = planted()
        model = self.fitted(train)
        rows = [train[user] for user in range(12)]
        tops = [int(model.recommend(np.array([user]), 1, seen=rows[user]).items[0, 0]) for user in range(12)]
        assert min(row.nnz for row in rows) > 30
        of_all = [model.explain(row, item, 3) for row, item in zip(rows, tops, strict=True)]
        monkeypatch.setattr(biased_mf, "LEFT_OUT", 10)
        for row, item, expected in zip(rows, tops, of_all, strict=True):
            found = model.explain(row, item, 3)
            assert found.items[0] == expected.items[0]
            assert found.contributions[0] == pytest.approx(expected.contributions[0], abs=1e-4)

    def test_alike_items_have_alike_ratings(self) -> None:
        train, _ = planted()
        twins = sp.csr_matrix(sp.hstack([train, train[:, :1]]))
        found = self.fitted(twins).similar_items(np.array([0]), 3)
        assert 120 in found.items[0]


class TestBiasedMFByGradients(RatingContract):
    config = BiasedMFConfig(factors=8, epochs=120, learning_rate=0.02, regularization=0.02)

    def test_the_error_falls_with_every_epoch(self) -> None:
        losses: list[float | None] = []
        self.make().fit(planted()[0], progress=lambda report: losses.append(report.loss))
        falling = [loss for loss in losses if loss is not None]
        assert len(falling) == 120
        assert falling[-1] < falling[60] < falling[0]


class TestBiasedMFByRidges(RatingContract):
    config = BiasedMFConfig(solver="als", factors=8, epochs=12, regularization=0.02)

    def test_a_shoppers_row_is_the_solution_of_her_ridge_problem(self) -> None:
        matrix = random_matrix(13)
        model = self.fitted(matrix)
        mean = matrix.data.mean()
        for user in range(10):
            row = matrix[user]
            there = model.item_factors_[row.indices].astype(float)
            known = np.column_stack([there[:, :8], np.ones(row.nnz)])
            system = known.T @ known + 0.02 * row.nnz * np.eye(9)
            expected = np.linalg.solve(system, known.T @ (row.data - mean - there[:, 9]))
            np.testing.assert_allclose(model.user_factors_[user, :8], expected[:8], atol=1e-4)
            assert model.user_factors_[user, 8] == pytest.approx(mean + expected[8], abs=1e-4)


def test_both_solvers_give_the_same_model_on_any_number_of_threads() -> None:
    matrix = random_matrix(16, n_users=600)
    for solver in ("sgd", "als"):
        config = BiasedMFConfig(solver=solver, factors=8, epochs=3)
        one, two = (BiasedMF(config, threads=threads).fit(matrix) for threads in (1, 2))
        np.testing.assert_array_equal(one.user_factors_, two.user_factors_)
        np.testing.assert_array_equal(one.item_factors_, two.item_factors_)


def test_blocks_of_a_round_share_nothing_and_an_epoch_sees_every_rating_once() -> None:
    matrix = random_matrix(17, n_users=90)
    passed = np.zeros(matrix.shape, np.float32)
    for blocks in divide(matrix, seed=1):
        rows: list[int] = []
        columns: list[int] = []
        for block in blocks:
            part = sp.csr_matrix((block.values, block.indices, block.indptr), shape=matrix.shape).toarray()
            part[: block.first] = part[block.last :] = 0
            passed += part
            rows += range(block.first, block.last)
            columns += np.flatnonzero(part.any(axis=0)).tolist()
        assert rows == list(range(90))
        assert len(columns) == len(set(columns))
    np.testing.assert_array_equal(passed, matrix.toarray())
