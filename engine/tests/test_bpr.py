"""BPR keeps the contract, and its loss falls."""

import numpy as np
import pytest

from engine.estimators.bpr import BPR, MOST, BPRConfig, draw_by_weight
from engine.testing import EstimatorContract, checkerboard, random_matrix, same_lists


class TestBPR(EstimatorContract):
    algorithm = BPR
    config = BPRConfig(factors=8)

    def test_the_loss_falls(self) -> None:
        losses: list[float] = []
        self.make().fit(random_matrix(30), progress=lambda at: losses.append(at.loss or np.nan))
        falling = np.array(losses)[1:-1]
        assert falling[-10:].mean() < 0.5 * falling[:10].mean()

    def test_thread_counts_change_nothing(self) -> None:
        matrix = random_matrix(31)
        one, two = (BPR(self.config, threads=threads).fit(matrix) for threads in (1, 2))
        same_lists(one.recommend(np.arange(60), 10), two.recommend(np.arange(60), 10))

    def test_parts_and_the_appeal_add_up_to_the_score(self) -> None:
        matrix = random_matrix(32)
        model = self.fitted(matrix)
        reasons = model._parts(matrix[0], 7)
        assert reasons.score == pytest.approx(
            reasons.contributions.sum() + model.item_factors_[7, -1], abs=1e-5
        )


class TestBPRWithConfidence(EstimatorContract):
    algorithm = BPR
    config = BPRConfig(factors=8, values="confidence")

    def test_equal_confidences_of_any_size_find_the_same_patterns(self) -> None:
        board = checkerboard()
        for value in (0.01, 1, 300):
            found = self.fitted(board * value).recommend(np.arange(40), 1, seen=board)
            assert found.items[:, 0].tolist() == list(range(40))

    def test_a_stronger_yes_pulls_harder_in_the_fit_and_in_a_fold_in(self) -> None:
        matrix = random_matrix(33)
        matrix.data[:] = 1
        user, strong = 5, matrix.copy()
        place = strong.indptr[user]
        strong.data[place] = 6
        item = strong.indices[place : place + 1]
        plain = self.fitted(matrix)
        assert plain.score(plain.fold_in(strong[user]), item) > plain.score(plain.fold_in(matrix[user]), item)
        lifted = []
        for item_of_all in range(0, 45, 5):  # what all give 8 to appeals more to everybody, by and large
            often = matrix.copy()
            often.data[often.indices == item_of_all] = 8
            after, before = (model.item_factors_[item_of_all, -1] for model in (self.fitted(often), plain))
            lifted.append(after - before)
        assert np.mean(lifted) > 0.1

    def test_values_not_above_zero_are_no_choices(self) -> None:
        matrix = random_matrix(34)
        matrix.data[matrix.data == 1] = -1
        kept = matrix.copy()
        kept.data[kept.data < 0] = 0
        kept.eliminate_zeros()
        one, two = self.fitted(matrix), self.fitted(kept)
        same_lists(one.recommend(np.arange(60), 10), two.recommend(np.arange(60), 10))
        same_lists(one.recommend(one.fold_in(matrix), 10), two.recommend(two.fold_in(kept), 10))

    def test_a_huge_value_moves_no_further_than_the_bound(self) -> None:
        model, row = self.fitted(random_matrix(35)), random_matrix(35)[3]
        huge, bound = row.copy(), row.copy()
        huge.data[0], bound.data[0] = 1e9, MOST * model.value_scale_
        same_lists(*(model.recommend(model.fold_in(each), 10) for each in (huge, bound)))


def test_draws_follow_the_weights_and_even_ones_draw_each_once() -> None:
    np.testing.assert_array_equal(draw_by_weight(np.ones(50, np.float32), 0.3), np.arange(50))
    weights = np.random.default_rng(0).random(40).astype(np.float32)
    counts = np.zeros(40)
    for offset in np.arange(0.0005, 1, 0.001):
        drawn = draw_by_weight(weights, float(offset))
        assert len(drawn) == 40
        counts += np.bincount(drawn, minlength=40)
    np.testing.assert_allclose(counts / 1000, 40 * weights / weights.sum(), atol=0.002)
    assert len(draw_by_weight(np.zeros(0, np.float32), 0.5)) == 0
