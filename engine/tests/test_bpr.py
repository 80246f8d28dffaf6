"""BPR keeps the contract, and its loss falls."""

import numpy as np
import pytest

from engine.estimators.bpr import BPR, BPRConfig
from engine.testing import EstimatorContract, random_matrix, same_lists


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
