"""Ranking by length first against scoring everything: the same lists, for much less work."""

import numpy as np
import pytest
import scipy.sparse as sp

from engine.estimators import longest_first
from engine.estimators.base import Hidden
from engine.estimators.longest_first import LongestFirst
from engine.topk import empty_heaps, finish, top_k

K = 10


def rank(users: np.ndarray, items: np.ndarray, hidden: Hidden) -> tuple[np.ndarray, np.ndarray]:
    keys, top = empty_heaps(len(users), K)
    LongestFirst.of(items).rank(users, hidden, keys, top)
    finish(keys, top)
    return top, keys.view(np.float32)


def made(n_users: int, n_items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make factors whose products are whole numbers, so that many tie and none is rounded."""
    users = rng.integers(-3, 4, (n_users, 8)).astype(np.float32)
    items = rng.integers(-2, 3, (n_items, 8)) * rng.integers(0, 9, (n_items, 1))
    return users, items.astype(np.float32)


@pytest.mark.parametrize("n_items", [3, 64, 1024, 9000])
@pytest.mark.parametrize("n_users", [1, 8, 300])
@pytest.mark.parametrize("copies", [True, False])
def test_lists_are_those_of_all_scores(
    n_items: int, n_users: int, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not copies:
        monkeypatch.setattr(longest_first, "COPIED_BYTES", 0)
    rng = np.random.default_rng(n_items)
    users, items = made(n_users, n_items, rng)
    users[:, 6], items[:, 6] = 50, 1  # the same for every item
    users[5:8] = 0  # everything ties: the lowest positions are chosen
    seen = sp.random(len(users), n_items, 0.05, "csr", np.float32, rng)
    everywhere = rng.choice(n_items, n_items // 3, replace=False)
    top, best = rank(users, items, Hidden.of(seen, everywhere, 0, len(users)))
    scores = users @ items.T
    scores[seen.nonzero()] = -np.inf
    scores[:, everywhere] = -np.inf
    expected, expected_best = top_k(scores, K)
    np.testing.assert_array_equal(top, expected)
    np.testing.assert_array_equal(best, expected_best)


@pytest.mark.parametrize("n_users", [1, 500])
def test_most_items_are_never_scored(n_users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.pareto(2, (20_000, 1))
    items = (rng.standard_normal((20_000, 16)) * lengths).astype(np.float32)
    users = rng.standard_normal((n_users, 16)).astype(np.float32)
    users[:, 3], items[:, 3] = 100, 1  # a bias of each user counts for nothing
    scored = []

    def counted(bits: np.ndarray, *rest: object) -> None:
        scored.append(bits.size)
        offer(bits, *rest)

    offer = longest_first.offer
    monkeypatch.setattr(longest_first, "offer", counted)
    rank(users, items, Hidden.of(None, None, 0, len(users)))
    assert sum(scored) < 0.2 * len(users) * len(items)


def test_numbers_that_are_none_are_never_chosen() -> None:
    users, items = made(40, 3000, np.random.default_rng(2))
    items[5], items[7, 2], users[4] = np.nan, np.inf, np.nan
    with np.errstate(all="ignore"):
        top, best = rank(users, items, Hidden.of(None, None, 0, len(users)))
        expected, expected_best = top_k(users @ items.T, K)
    np.testing.assert_array_equal(top, expected)
    np.testing.assert_array_equal(best, expected_best)
