"""How well each user's whole ranking parts held-out choices from items never chosen."""

import numpy as np
import scipy.sparse as sp
from numba import njit

from engine.estimators.base import (
    SCORES_AT_ONCE,
    Estimator,
    Positions,
    Progress,
    ProgressCallback,
    in_blocks,
)
from engine.estimators.kernels import FAST
from engine.interactions import Float32

USERS_AT_ONCE = 1024
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)


def area_under_curve(
    estimator: Estimator,
    users: Positions,
    seen: sp.csr_matrix,
    test: sp.csr_matrix,
    *,
    progress: ProgressCallback | None = None,
) -> Float32:
    """Compute each user's area under the ROC curve over the whole catalogue, (n,) float32.

    users: (n,) positions; seen, test: (n, n_items) CSR of the same users: what was trained on, left out,
    and what was held out. Every other item counts as not chosen. Range 0 to 1: the chance that a
    held-out choice scores above an item never chosen, ties by half; NaN where one of the two is missing.
    A choice that was trained on as well is left out. progress may raise to cancel.
    Source: Hanley & McNeil 1982; by user as in Rendle et al. 2009, "BPR".
    """
    areas = np.empty(len(users), np.float32)
    for first in range(0, len(users), USERS_AT_ONCE):
        if progress:
            progress(Progress("evaluate", first, len(users), "Ranking held-out choices among all items"))
        block = slice(first, first + USERS_AT_ONCE)
        areas[block] = _block_areas(estimator, users[block], seen[block], test[block])
    return areas


def _block_areas(estimator: Estimator, users: Positions, seen: sp.csr_matrix, test: sp.csr_matrix) -> Float32:
    state = estimator.user_state(np.asarray(users, np.int32))
    areas = np.full(len(users), np.nan, np.float32)

    def measure(start: int, stop: int) -> None:
        scores = estimator._block_scores(state, start, stop)
        measure_rows(scores, start, seen.indptr, seen.indices, test.indptr, test.indices, areas)

    size = max(1, min(256, SCORES_AT_ONCE // estimator.n_items_))
    in_blocks(measure, len(users), size, estimator.threads)
    return areas


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def measure_rows(scores, first, seen_indptr, seen, test_indptr, test, areas):  # type: ignore[no-untyped-def]
    """Write the area of rows first … of two CSRs with sorted indices; scores: those rows over all items.

    One pass over the scores for each held-out choice counts what it beats: few choices a row are the rule,
    and a pass that only counts costs far less than a sort.
    """
    n_items = scores.shape[1]
    left_out = np.empty(n_items, np.int32)
    for at in range(len(scores)):
        row, n = first + at, 0
        for place in range(seen_indptr[row], seen_indptr[row + 1]):
            left_out[n] = seen[place]
            n += 1
        n_seen = n
        for place in range(test_indptr[row], test_indptr[row + 1]):
            if not is_among(left_out, n_seen, test[place]):
                left_out[n] = test[place]
                n += 1
        if n in (n_seen, n_items):
            continue
        total = 0.0
        for place in range(n_seen, n):
            own, beaten = scores[at, left_out[place]], np.float32(0)  # halves are exact below 8 M items
            for item in range(n_items):
                other = scores[at, item]
                beaten += ONE if other < own else (HALF if other == own else ZERO)
            for other_place in range(n):
                other = scores[at, left_out[other_place]]
                beaten -= ONE if other < own else (HALF if other == own else ZERO)
            total += float(beaten)
        areas[row] = total / ((n - n_seen) * (n_items - n))


@njit(cache=True, nogil=True)
def is_among(items, n, item):  # type: ignore[no-untyped-def]
    """Say whether one of the first n items, sorted, is the item."""
    at = np.searchsorted(items[:n], item)
    return at < n and items[at] == item
