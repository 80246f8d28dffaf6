"""Popularity by category keeps the contract, and counts within each category."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators.base import Context
from engine.estimators.popularity_category import PopularityCategory, PopularityCategoryConfig
from engine.items import ItemFacts
from engine.testing import EstimatorContract


def filed(*categories: str | None) -> Context:
    n = len(categories)
    return Context(items=ItemFacts.of([""] * n, categories, np.full(n, np.nan)))


class TestPopularityCategory(EstimatorContract):
    algorithm = PopularityCategory

    def context(self, matrix: sp.csr_matrix) -> Context:
        return filed(*(("even", "odd")[at % 2] for at in range(matrix.shape[1])))


BOUGHT = sp.csr_matrix(
    np.array([[1, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]], np.float32)
)


def fitted(everyone: float) -> PopularityCategory:
    model = PopularityCategory(PopularityCategoryConfig(everyone=everyone))
    return model.fit(BOUGHT, context=filed("cups", "cups", "lamps", "lamps", None))


def test_best_sellers_of_her_own_categories_come_before_those_of_the_shop() -> None:
    found = fitted(everyone=1).recommend(np.array([0]), 5, seen=BOUGHT[:1])
    assert found.items[0].tolist() == [1, 3, 2, 4, -1]
    np.testing.assert_allclose(found.scores[0, :4], [1 / 2 + 1 / 8, 3 / 8, 2 / 8, 1 / 8], rtol=1e-6)


def test_without_history_and_for_a_heavy_weight_everyone_gets_the_same() -> None:
    model = fitted(everyone=1)
    stranger = model.fold_in(sp.csr_matrix((1, 5), dtype=np.float32))
    assert model.recommend(stranger, 5).items[0].tolist() == [3, 2, 0, 1, 4]
    assert fitted(everyone=1000).recommend(np.array([0]), 1, seen=BOUGHT[:1]).items[0, 0] == 3


def test_an_item_without_a_category_is_like_nothing() -> None:
    model = fitted(everyone=1)
    assert (model.similar_items(np.array([4]), 3).items == -1).all()
    reasons = model.explain(BOUGHT[3], 4)
    assert len(reasons.items) == 0
    assert "everyone" in reasons.note


def test_an_item_file_without_categories_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match="choose Popularity"):
        PopularityCategory().fit(BOUGHT, context=filed(None, None, None, None, None))
