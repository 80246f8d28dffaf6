"""The top-k kernel against a full stable sort, on scores made to be difficult."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.topk import mask, top_k


def sorted_reference(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    order = np.argsort(-finite, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(finite, order, axis=1)
    items = np.where(np.isfinite(best), order, -1)
    missing = ((0, 0), (0, k - order.shape[1]))
    return np.pad(items, missing, constant_values=-1), np.pad(best, missing, constant_values=-np.inf)


def assert_like_reference(scores: np.ndarray, k: int) -> None:
    items, best = top_k(scores, k)
    expected_items, expected_best = sorted_reference(scores, k)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(best, expected_best)


@pytest.mark.parametrize("k", [1, 10, 64, 300])
def test_the_best_k_are_those_of_a_sort(k: int) -> None:
    assert_like_reference(np.random.default_rng(0).standard_normal((40, 257), dtype=np.float32), k)


def test_ties_go_to_the_lower_position_and_minus_zero_is_zero() -> None:
    scores = np.random.default_rng(1).integers(-1, 2, (200, 150)).astype(np.float32)
    scores[scores == 0] *= np.random.default_rng(2).choice([-1, 1], (scores == 0).sum())
    assert_like_reference(scores, 40)


def test_what_is_not_finite_is_never_chosen() -> None:
    items, best = top_k(np.array([[np.nan, 1, np.inf, 2, -np.inf, -np.nan]], np.float32), 4)
    assert items.tolist() == [[3, 1, -1, -1]]
    assert best.tolist() == [[2, 1, -np.inf, -np.inf]]


@settings(max_examples=50, deadline=None)
@given(
    scores=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 140)), elements=st.floats(width=32)
    ),
    k=st.integers(1, 20),
)
def test_any_float_at_all_is_ranked_like_a_sort(scores: np.ndarray, k: int) -> None:
    assert_like_reference(scores, k)


def test_masked_columns_fall_out() -> None:
    scores = np.ones((2, 4), np.float32)
    mask(scores, np.array([0, 1, 3, 4], np.int32), np.array([3, 0, 2, 1], np.int32), 1)
    assert top_k(scores, 4)[0].tolist() == [[1, 3, -1, -1], [0, 2, 3, -1]]
