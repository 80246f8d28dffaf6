"""The tests that define an estimator. A new one passes when a class that mixes this in passes.

class TestMine(EstimatorContract):
    algorithm = Mine
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.artifacts import load_artifact, save_artifact
from engine.estimators.base import NO_CONTEXT, Context, Estimator, Progress, Recommendations, Settings
from engine.interactions import IdTable


def checkerboard(size: int = 40) -> sp.csr_matrix:
    """Make shoppers who chose every item of their own parity, save the one with their own number."""
    parity = np.arange(size) % 2
    board = (parity[:, None] == parity).astype(np.float32)
    np.fill_diagonal(board, 0)
    return sp.csr_matrix(board)


def random_matrix(seed: int, n_users: int = 60, n_items: int = 45, density: float = 0.12) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    kept = rng.random((n_users, n_items)) < density
    return sp.csr_matrix(np.where(kept, rng.integers(1, 6, (n_users, n_items)), 0).astype(np.float32))


@st.composite
def sparse_matrices(draw: st.DrawFn) -> sp.csr_matrix:
    """Draw small matrices of any shape and density, empty rows and columns among them."""
    shape = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    return random_matrix(draw(st.integers(0, 2**32 - 1)), *shape, density=draw(st.floats(0, 0.9)))


class Cancelled(Exception):
    """What a caller's progress function raises to stop a fit."""


class EstimatorContract:
    """Set `algorithm`; `config` if the default does not suit 40 items.

    learns_tastes: off where choices alone, all of one value, teach it nothing; has_causes: off where the
    history has no part in a score.
    """

    algorithm: ClassVar[type[Estimator]]
    config: ClassVar[Settings | None] = None
    learns_tastes: ClassVar[bool] = True
    has_causes: ClassVar[bool] = True

    def make(self, seed: int = 0) -> Estimator:
        return self.algorithm(self.config, seed=seed)

    def context(self, matrix: sp.csr_matrix) -> Context:
        """Give what this algorithm needs beside a test's matrix."""
        return NO_CONTEXT

    def fit(self, model: Estimator, matrix: sp.csr_matrix, **options: Any) -> Estimator:
        return model.fit(matrix, context=self.context(matrix), **options)

    def fitted(self, matrix: sp.csr_matrix, seed: int = 0) -> Estimator:
        return self.fit(self.make(seed), matrix)

    # What it must find

    def test_every_shopper_gets_the_one_item_missing_from_her_pattern(self) -> None:
        if not self.learns_tastes:
            pytest.skip("knows no tastes")
        board = checkerboard()
        found = self.fitted(board).recommend(np.arange(40), 1, seen=board)
        assert found.items[:, 0].tolist() == list(range(40))

    def test_items_of_one_pattern_are_most_alike(self) -> None:
        if not self.learns_tastes:
            pytest.skip("knows no tastes")
        found = self.fitted(checkerboard()).similar_items(np.arange(40), 5)
        assert (found.items >= 0).all()
        assert (found.items % 2 == np.arange(40)[:, None] % 2).all()
        assert (found.items != np.arange(40)[:, None]).all()

    def test_users_of_one_pattern_are_most_alike(self) -> None:
        if not self.learns_tastes:
            pytest.skip("knows no tastes")
        found = self.fitted(checkerboard()).similar_users(np.arange(40), 5)
        assert (found.items % 2 == np.arange(40)[:, None] % 2).all()
        assert (found.items != np.arange(40)[:, None]).all()

    def test_taking_the_top_cause_away_lowers_the_score(self) -> None:
        if not self.has_causes:
            pytest.skip("has no causes in the history")
        matrix = random_matrix(4)
        model = self.fitted(matrix)
        for user in range(10):
            row = matrix[user]
            if row.nnz < 2:
                continue
            item = int(model.recommend(np.array([user]), 1, seen=row).items[0, 0])
            reasons = model.explain(row, item, row.nnz)
            before = model.score(model.fold_in(row), np.array([item]))[0]
            assert reasons.score == pytest.approx(before, rel=1e-3, abs=1e-4)
            assert np.isin(reasons.items, row.indices).all()
            less = row.copy()
            less.data[less.indices == reasons.items[0]] = 0
            less.eliminate_zeros()
            assert model.score(model.fold_in(less), np.array([item]))[0] < before

    def test_causes_raise_the_score_and_where_there_is_none_a_note_says_what_it_rests_on(self) -> None:
        matrix = random_matrix(4)
        model = self.fitted(matrix)
        nobody = sp.csr_matrix((1, 45), dtype=np.float32)
        for row, item in [(nobody, 3), *((matrix[user], user) for user in range(0, 40, 4))]:
            reasons = model.explain(row, item, 45)
            assert np.isfinite(reasons.score)
            assert reasons.contributions.dtype == np.float32
            assert (reasons.contributions > 0).all()
            assert (np.diff(reasons.contributions) <= 0).all()
            assert np.isin(reasons.items, row.indices).all()
            assert bool(reasons.note) == (len(reasons.items) == 0)

    # What it must survive

    @pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1)])
    def test_one_user_or_one_item_is_enough(self, shape: tuple[int, int]) -> None:
        matrix = sp.csr_matrix(np.ones(shape, np.float32))
        check_lists(self.fitted(matrix).recommend(np.arange(shape[0]), 3), shape[1])

    def test_empty_rows_and_columns_give_valid_lists(self) -> None:
        dense = random_matrix(1).toarray()
        dense[[0, 7, 59]] = 0
        dense[:, [0, 11, 44]] = 0
        matrix = sp.csr_matrix(dense)
        model = self.fitted(matrix)
        check_lists(model.recommend(np.arange(60), 10, seen=matrix), 45, seen=matrix)
        check_lists(model.similar_items(np.arange(45), 5), 45)
        check_lists(model.similar_users(np.arange(60), 5), 60)

    def test_no_interaction_at_all_gives_valid_lists(self) -> None:
        matrix = sp.csr_matrix((5, 4), dtype=np.float32)
        check_lists(self.fitted(matrix).recommend(np.arange(5), 3), 4)

    def test_equal_ratings_of_everything_give_valid_lists(self) -> None:
        matrix = sp.csr_matrix(np.full((12, 9), 3, np.float32))
        model = self.fitted(matrix)
        check_lists(model.recommend(np.arange(12), 9), 9)
        assert (model.recommend(np.arange(12), 9, seen=matrix).items == -1).all()

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(matrix=sparse_matrices())
    def test_any_sparse_matrix_gives_valid_lists(self, matrix: sp.csr_matrix) -> None:
        model = self.fitted(matrix)
        users = np.arange(matrix.shape[0])
        found = model.recommend(users, 6, seen=matrix)
        check_lists(found, matrix.shape[1], seen=matrix)
        for place in range(6):
            listed = found.items[:, place] >= 0
            scores = model.score(users[listed], found.items[listed, place])
            np.testing.assert_allclose(scores, found.scores[listed, place], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_value_that_is_not_finite_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            self.fitted(sp.csr_matrix(np.array([[1, value]], np.float32)))

    def test_a_matrix_without_users_or_items_is_refused(self) -> None:
        for shape in ((0, 3), (3, 0)):
            with pytest.raises(ValueError, match="at least one"):
                self.fitted(sp.csr_matrix(shape, dtype=np.float32))

    def test_positions_outside_the_model_are_refused(self) -> None:
        model = self.fitted(random_matrix(2))
        for wrong in (-1, 60):
            with pytest.raises(ValueError, match="user positions"):
                model.recommend(np.array([wrong]), 3)
        with pytest.raises(ValueError, match="item positions"):
            model.similar_items(np.array([45]), 3)

    def test_a_list_of_no_length_is_refused(self) -> None:
        model = self.fitted(random_matrix(2))
        for k in (0, -1):
            for ask in (model.recommend, model.similar_items, model.similar_users):
                with pytest.raises(ValueError, match="k must be at least 1"):
                    ask(np.array([0]), k)

    # How it must behave

    def test_excluded_and_seen_items_never_appear(self) -> None:
        matrix = random_matrix(3)
        found = self.fitted(matrix).recommend(np.arange(60), 45, seen=matrix, exclude=np.array([0, 5, 44]))
        check_lists(found, 45, seen=matrix)
        assert not np.isin(found.items, [0, 5, 44]).any()

    def test_the_same_seed_gives_the_same_lists_and_fit_starts_afresh(self) -> None:
        matrix = random_matrix(5)
        first, second = self.fitted(matrix, seed=7), self.fitted(random_matrix(6), seed=7)
        self.fit(second, matrix)
        same_lists(first.recommend(np.arange(60), 10), second.recommend(np.arange(60), 10))

    def test_fit_leaves_the_matrix_as_it_was(self) -> None:
        matrix = random_matrix(5)
        before = matrix.copy()
        self.fitted(matrix)
        assert (matrix != before).nnz == 0

    def test_a_known_users_row_folded_in_gives_the_fitted_lists(self) -> None:
        matrix = random_matrix(8)
        model = self.fitted(matrix)
        users = np.flatnonzero(np.diff(matrix.indptr) > 0)
        fitted, folded = model.recommend(users, 5), model.recommend(model.fold_in(matrix[users]), 5)
        finite = np.isfinite(fitted.scores)
        np.testing.assert_allclose(folded.scores[finite], fitted.scores[finite], rtol=1e-3, atol=1e-4)

    def test_blocks_and_single_users_give_the_same_lists(self) -> None:
        matrix = random_matrix(9, n_users=700)
        model = self.fitted(matrix)
        together = model.recommend(np.arange(700), 8, seen=matrix)
        for user in (0, 255, 256, 699):
            alone = model.recommend(np.array([user]), 8, seen=matrix[user])
            np.testing.assert_allclose(alone.scores[0], together.scores[user], rtol=1e-4, atol=1e-5)

    def test_what_is_saved_and_loaded_gives_the_same_lists(self, tmp_path: Path) -> None:
        matrix = random_matrix(10)
        model = self.fitted(matrix)
        tables = [IdTable.of(f"{kind}{n}" for n in range(size)) for kind, size in (("u", 60), ("i", 45))]
        digest = save_artifact(tmp_path / "model", model, user_ids=tables[0], item_ids=tables[1], seen=matrix)
        kept = load_artifact(tmp_path / "model", digest).estimator
        same_lists(model.recommend(np.arange(60), 10), kept.recommend(np.arange(60), 10))
        same_lists(model.similar_items(np.arange(45), 5), kept.similar_items(np.arange(45), 5))
        same_lists(
            model.recommend(model.fold_in(matrix[:5]), 10), kept.recommend(kept.fold_in(matrix[:5]), 10)
        )

    def test_progress_goes_up_to_the_end_and_can_cancel_anywhere(self) -> None:
        reports: list[Progress] = []
        self.fit(self.make(), random_matrix(11), progress=reports.append)
        done = [report.done / report.total for report in reports]
        assert done == sorted(done)
        assert done[-1] == 1
        config = self.make().config
        rounds = getattr(config, "iterations", 0) or getattr(config, "epochs", 0)
        assert len(reports) >= rounds

        for last in np.unique(np.linspace(0, len(reports) - 1, 10).astype(int)).tolist():
            heard: list[Progress] = []

            def stop(report: Progress, heard: list[Progress] = heard, last: int = last) -> None:
                heard.append(report)
                if len(heard) > last:
                    raise Cancelled

            with pytest.raises(Cancelled):
                self.fit(self.make(), random_matrix(11), progress=stop)
            assert len(heard) == last + 1

    def test_an_estimate_grows_with_the_data(self) -> None:
        config = self.config or self.algorithm.Config()
        small = self.algorithm.estimate(config, 100, 100, 1_000)
        large = self.algorithm.estimate(config, 10_000, 10_000, 1_000_000)
        assert 0 < small.memory_bytes < large.memory_bytes
        assert 0 < small.seconds < large.seconds


def check_lists(found: Recommendations, n_items: int, seen: sp.csr_matrix | None = None) -> None:
    """Assert what holds of all lists: valid items once each, best first, -1 and -inf only at the end."""
    items, scores = found.items, found.scores
    assert items.dtype == np.int32
    assert scores.dtype == np.float32
    assert ((items >= -1) & (items < n_items)).all()
    assert np.array_equal(items >= 0, np.isfinite(scores))
    for row, (listed, values) in enumerate(zip(items, scores, strict=True)):
        real = listed[listed >= 0]
        assert len(set(real.tolist())) == len(real)
        assert (listed[len(real) :] == -1).all()
        assert (np.diff(values[: len(real)]) <= 0).all()
        if seen is not None:
            assert not np.isin(real, seen[row].indices).any()


def same_lists(one: Recommendations, other: Recommendations) -> None:
    """Assert that two answers are equal to the last bit."""
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
