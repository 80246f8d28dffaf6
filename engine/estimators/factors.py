"""What all models of factors share: a score is the inner product of a shopper's and an item's factors."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.estimators.base import Arrays, Estimator, Hidden, Positions, Recommendations, UserState
from engine.estimators.likeness import rank_alike
from engine.estimators.longest_first import LongestFirst
from engine.estimators.products import FEW_ROWS, inner_products
from engine.interactions import Float32, Int32

RANKED_AT_ONCE = 512  # users whose products with a part of the items fit the second cache
UNRELATED = "Nothing in the history speaks for this item."


class FactorModel(Estimator):
    """user_factors_: (n_users, width) float32; item_factors_: (n_items, width) float32.

    folds_in_from_history: `fold_in` and `explain` read the item factors of the history and of the item
    asked about, no others; a compressed model then turns only those back into float32.
    """

    family = "factors"
    folds_in_from_history: ClassVar[bool] = False

    user_factors_: Float32
    item_factors_: Float32
    _by_length: LongestFirst | None = None

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a row of factors holds with this config."""

    def user_state(self, users: Positions) -> UserState:
        return UserState(self.user_factors_[users])

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        return inner_products(state.rows[start:stop], self.item_factors_)

    def _rank(
        self, state: UserState, start: int, stop: int, hidden: Hidden, keys: Int32, items: Int32
    ) -> None:
        by_length = self._by_length
        if by_length is None or by_length.items is not self.item_factors_:
            # Found for the first list, so that loading a model stays instant.
            by_length = self._by_length = LongestFirst.of(self.item_factors_)
        if stop - start > FEW_ROWS or by_length.sorted is not None:
            by_length.rank(state.rows[start:stop], hidden, keys, items)
        else:
            super()._rank(state, start, stop, hidden, keys, items)

    def _rows_at_once(self) -> int:
        return RANKED_AT_ONCE

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return np.asarray(np.einsum("nk,nk->n", state.rows, self.item_factors_[items]), np.float32)

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Compare factors by their angle (cosine)."""
        return most_alike(self._tastes(self.item_factors_), items, k, self.threads)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Compare factors by their angle (cosine)."""
        return most_alike(self._tastes(self.user_factors_), users, k, self.threads)

    def _tastes(self, factors: Float32) -> Float32:
        """Give the columns in which likeness shows: without biases, if a model keeps some."""
        return factors

    def arrays(self) -> Arrays:
        return {"user_factors": self.user_factors_, "item_factors": self.item_factors_}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.user_factors_ = restored_array(arrays, "user_factors", (self.n_users_, self.width))
        self.item_factors_ = restored_array(arrays, "item_factors", (self.n_items_, self.width))


def restored_array(arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]) -> Float32:
    """Take one float32 array of an artifact; raise ValueError when its type or shape is another."""
    array = arrays[name]
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{name} must be float32 of shape {shape}, not {array.dtype} {array.shape}")
    return array


def most_alike(factors: Float32, asked: Int32, k: int, threads: int) -> Recommendations:
    """Find the k rows with the smallest angle to each asked row; rows of zeros are like nothing."""
    norms = np.linalg.norm(factors, axis=1)

    def score(start: int, stop: int) -> Float32:
        rows = asked[start:stop]
        scores = factors[rows] @ factors.T
        with np.errstate(divide="ignore", invalid="ignore"):
            scores /= norms[rows, None] * norms
        return scores

    return rank_alike(score, asked, len(factors), k, threads)
