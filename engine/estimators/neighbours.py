"""What all models of item neighbours share: a score is the sum of weights from the shopper's history.

A new one writes `_learn`, which finds the weights, and inherits everything else.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.base import (
    Arrays,
    Context,
    Estimator,
    Explanation,
    Positions,
    ProgressCallback,
    Recommendations,
    UserState,
    check_matrix,
    in_blocks,
)
from engine.estimators.likeness import alike_rows, first_of_rows
from engine.estimators.nearest import add_neighbours, ones_like, restored
from engine.interactions import Float32, Int32


class NeighbourModel(Estimator):
    """similarity_: (n_items, n_items) CSR, row i what having i adds to others, best first;
    history_: (n_users, n_items) CSR of the fit, ones or confidences.
    """

    family = "neighbours"

    similarity_: sp.csr_matrix
    history_: sp.csr_matrix

    @property
    def keeps_values(self) -> bool:
        """Whether a higher value is a stronger yes; otherwise every interaction is one yes."""
        return getattr(self.config, "values", "ignore") == "confidence"

    @abstractmethod
    def _learn(self, matrix: sp.csr_matrix, progress: ProgressCallback) -> sp.csr_matrix:
        """Find similarity_, from the matrix as it came and from `history_`."""

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        self.history_ = self._histories(matrix)
        self.similarity_ = self._learn(matrix, progress)

    def _histories(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        return positive(matrix) if self.keeps_values else ones_like(matrix)

    def user_state(self, users: Positions) -> UserState:
        return UserState(self.history_[users])

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Take the rows as they are: a user is her history."""
        self._check_width(rows)
        return UserState(self._histories(check_matrix(rows)))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        return sum_of_rows(sp.csr_matrix(state.rows), self.similarity_, start, stop)

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return pairs_of_blocks(self, state, items)

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Give the neighbours that scoring uses, at most as many as the config keeps."""
        return first_of_rows(self.similarity_, items, k)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Compare histories by cosine."""
        return alike_rows(self.history_, users, k, self.threads)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Split the score into what each item of the history adds."""
        weights = self._histories(history)
        parts = np.zeros(weights.nnz, np.float32)
        for at, owned in enumerate(weights.indices):
            start, stop = self.similarity_.indptr[owned : owned + 2]
            here = self.similarity_.indices[start:stop] == item
            parts[at] = weights.data[at] * self.similarity_.data[start:stop][here].sum()
        note = "Nothing in the history is a neighbour of this item."
        return Explanation(float(parts.sum()), weights.indices, parts, note)

    def arrays(self) -> Arrays:
        near, history = self.similarity_, self.history_
        arrays = {
            "neighbour_indptr": near.indptr,
            "neighbour_items": near.indices,
            "neighbour_values": near.data,
            "history_indptr": history.indptr,
            "history_items": history.indices,
        }
        return {**arrays, "history_values": history.data} if self.keeps_values else arrays

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.history_ = restored_history(arrays, (self.n_users_, self.n_items_), self.keeps_values)
        near = arrays["neighbour_values"], arrays["neighbour_items"], arrays["neighbour_indptr"]
        self.similarity_ = restored(*near, (self.n_items_, self.n_items_), "neighbours")


def positive(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Copy a matrix without what is not above zero."""
    kept = sp.csr_matrix(matrix, copy=True)
    kept.data = np.maximum(kept.data, 0)
    kept.eliminate_zeros()
    return kept


def restored_history(
    arrays: Mapping[str, npt.NDArray[Any]], shape: tuple[int, int], has_values: bool
) -> sp.csr_matrix:
    """Take the histories of an artifact, whose values are all 1 unless they were kept."""
    items = arrays["history_items"]
    values = arrays["history_values"] if has_values else np.ones(len(items), np.float32)
    return restored(values, items, arrays["history_indptr"], shape, "history")


def sum_of_rows(weights: sp.csr_matrix, rows: sp.csr_matrix, start: int, stop: int) -> Float32:
    """Multiply rows start..stop of two CSRs into a dense block; -inf where no neighbour gives a reason."""
    scores = np.zeros((stop - start, rows.shape[1]), np.float32)
    add_neighbours(
        start, weights.indptr, weights.indices, weights.data, rows.indptr, rows.indices, rows.data, scores
    )
    scores[scores == 0] = -np.inf
    return scores


def pairs_of_blocks(model: Estimator, state: UserState, items: Int32) -> Float32:
    """Score pairs by scoring all items of each user, in blocks; 0 where there is no reason."""
    scores = np.empty(len(items), np.float32)

    def work(start: int, stop: int) -> None:
        block = model._block_scores(state, start, stop)
        scores[start:stop] = block[np.arange(stop - start), items[start:stop]]

    in_blocks(work, len(items), 256, model.threads)
    return np.where(np.isfinite(scores), scores, np.float32(0))
