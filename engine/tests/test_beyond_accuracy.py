"""Measures beyond accuracy by hand on a tiny shop, and serendipity against a slow reference."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.beyond_accuracy import (
    average_popularity,
    category_diversity,
    diversity,
    gini,
    novelty,
    personalisation,
    popularity_of,
    serendipity,
    tail_items,
    tail_share,
)
from engine.estimators import ALGORITHMS
from engine.metrics import find_hits

# Four shoppers, five items, chosen by 4, 2, 1, 1 and 0 of them.
TRAIN = sp.csr_matrix(
    np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0]], np.float32)
)
TOP = np.array([[2, 3], [0, 4], [1, -1], [-1, -1]], np.int32)


def test_popularity_and_the_long_tail() -> None:
    popularity = popularity_of(TRAIN)
    assert popularity.tolist() == [4, 2, 1, 1, 0]
    # 80 % of 8 choices is 6.4: items 0 and 1 hold 6, so that item 2 is needed too.
    assert tail_items(popularity).tolist() == [False, False, False, True, True]


def test_novelty_and_popularity_of_lists_by_hand() -> None:
    popularity = popularity_of(TRAIN)
    assert novelty(TOP, popularity, 4) == pytest.approx([2, 1, 1, np.nan], nan_ok=True)
    assert average_popularity(TOP, popularity) == pytest.approx([1, 2, 2, np.nan], nan_ok=True)
    assert tail_share(TOP, tail_items(popularity)) == pytest.approx([0.5, 0.5, 0, np.nan], nan_ok=True)


def test_diversity_by_hand() -> None:
    # Items 0 and 1 share two shoppers: cosine 2 / sqrt(4 · 2); items 2 and 3 share none.
    lists = np.array([[0, 1], [2, 3], [0, 4], [0, -1]], np.int32)
    expected = [1 - 2 / np.sqrt(8), 1, 1, np.nan]
    assert diversity(lists, TRAIN) == pytest.approx(expected, nan_ok=True, abs=1e-6)


def test_diversity_of_categories_by_hand() -> None:
    category_of = np.array([0, 0, 1, -1, 2], np.int32)
    lists = np.array([[0, 1, 2], [0, 2, 4], [0, 1, 3], [0, 3, -1]], np.int32)
    assert category_diversity(lists, category_of) == pytest.approx([2 / 3, 1, 0, np.nan], nan_ok=True)


def test_gini_is_zero_for_equal_exposure_and_highest_for_one_item() -> None:
    assert gini(np.array([[0, 1], [2, 3]], np.int32), 4) == pytest.approx(0)
    assert gini(np.array([[0], [0]], np.int32), 4) == pytest.approx(0.75)
    assert gini(np.array([[0, 1], [0, -1]], np.int32), 2) == pytest.approx(1 / 6)
    assert np.isnan(gini(np.array([[-1]], np.int32), 2))


def test_personalisation_is_one_minus_the_mean_overlap_of_pairs() -> None:
    assert personalisation(np.array([[0, 1], [1, 0]], np.int32)) == pytest.approx(0)
    assert personalisation(np.array([[0, 1], [2, 3]], np.int32)) == pytest.approx(1)
    lists = np.array([[0, 1], [1, 2], [3, 4]], np.int32)  # one of three pairs shares one of two places
    assert personalisation(lists) == pytest.approx(1 - 0.5 / 3)
    assert np.isnan(personalisation(lists[:1]))


def test_what_a_best_seller_list_would_have_shown_is_no_serendipity() -> None:
    # Shopper 0 has items 0 and 1, so that best sellers would show 2 and 3: a hit on 4 is a surprise.
    seen = TRAIN[:1]
    truth = sp.csr_matrix(np.array([[0, 0, 1, 0, 1]], np.float32))
    top = np.array([[2, 4]], np.int32)
    assert serendipity(top, find_hits(top, truth), popularity_of(TRAIN), seen).tolist() == [0.5]


def test_serendipity_agrees_with_the_best_seller_estimator() -> None:
    rng = np.random.default_rng(5)
    chance = np.geomspace(0.6, 0.05, 30)
    seen = rng.random((50, 30)) < chance
    truth = sp.csr_matrix(((rng.random((50, 30)) < 0.4) & ~seen).astype(np.float32))
    train = sp.csr_matrix(seen.astype(np.float32))
    model = ALGORITHMS["popularity"]().fit(train)
    expected = model.recommend(np.arange(50), 5, seen=train).items
    top = np.array([rng.permutation(np.flatnonzero(~row))[:5] for row in seen], np.int32)
    hits = find_hits(top, truth)
    found = serendipity(top, hits, popularity_of(train), train)
    for row in range(50):
        surprising = [i for i, hit in zip(top[row], hits[row], strict=True) if hit and i not in expected[row]]
        assert found[row] == pytest.approx(len(surprising) / 5)
    assert 0 < found.mean() < hits.mean()


def test_a_best_seller_list_has_no_serendipity_and_no_personality() -> None:
    model = ALGORITHMS["popularity"]().fit(TRAIN)
    top = model.recommend(np.arange(4), 2, seen=TRAIN).items
    hits = np.ones(top.shape, bool) & (top >= 0)
    assert serendipity(top, hits, popularity_of(TRAIN), TRAIN).tolist() == [0] * 4
