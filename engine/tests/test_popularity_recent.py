"""What sold lately comes first, by the newest time in the data."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators.base import Context
from engine.estimators.popularity_recent import DAY_S, PopularityRecent, PopularityRecentConfig
from engine.testing import EstimatorContract


class TestPopularityRecent(EstimatorContract):
    algorithm = PopularityRecent
    learns_tastes = False
    has_causes = False

    def context(self, matrix: sp.csr_matrix) -> Context:
        return Context(times=np.arange(matrix.nnz, dtype=np.int64) * DAY_S)


def test_a_choice_one_half_life_old_counts_half() -> None:
    matrix = sp.csr_matrix(np.array([[1, 0, 1], [1, 1, 0]], np.float32))
    times = np.array([0, 20, 10, 20], np.int64) * DAY_S  # of items 0, 2, 0, 1
    model = PopularityRecent(PopularityRecentConfig(half_life_days=10)).fit(matrix, context=Context(times))
    np.testing.assert_allclose(model.popularity_, [0.75, 1, 1])


def test_without_times_it_says_so() -> None:
    with pytest.raises(ValueError, match="the file has no times"):
        PopularityRecent().fit(sp.csr_matrix(np.ones((2, 2), np.float32)))
