"""How well each user's whole ranking parts held-out choices from items never chosen."""

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import (
    SCORES_AT_ONCE,
    Estimator,
    Positions,
    Progress,
    ProgressCallback,
    in_blocks,
)
from engine.interactions import Float32

USERS_AT_ONCE = 1024


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
    Costs several times what listing the best does, for every user's scores are sorted.
    progress may raise to cancel.
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
        scores = np.asarray(estimator._block_scores(state, start, stop))
        scores[~np.isfinite(scores)] = -np.inf  # what is never recommended stands last
        known, held = seen[start:stop].tocoo(), test[start:stop]
        scores[known.row, known.col] = np.nan  # sorts behind every number
        of_row = np.repeat(np.arange(stop - start), np.diff(held.indptr))
        chosen = scores[of_row, held.indices]
        scores[of_row, held.indices] = np.nan
        others = scores.shape[1] - np.isnan(scores).sum(axis=1)
        scores.sort(axis=1)
        for row in range(stop - start):
            asked = chosen[held.indptr[row] : held.indptr[row + 1]]
            if len(asked) and others[row]:
                ranked = scores[row, : others[row]]
                below, upto = np.searchsorted(ranked, asked), np.searchsorted(ranked, asked, "right")
                areas[start + row] = (below + upto).mean() / (2 * others[row])

    size = max(1, min(256, SCORES_AT_ONCE // estimator.n_items_))
    in_blocks(measure, len(users), size, estimator.threads)
    return areas
