"""Popularity: everyone gets what most shoppers chose. The baseline that every model must beat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.base import (
    Arrays,
    Context,
    Estimate,
    Estimator,
    Explanation,
    Positions,
    Progress,
    ProgressCallback,
    Recommendations,
    Settings,
    UserState,
    option,
)
from engine.estimators.likeness import rank_alike
from engine.interactions import Float32, Int32


@dataclass(frozen=True)
class PopularityConfig(Settings):
    count: str = option(
        "shoppers",
        title="What counts",
        help="Shoppers: each counts once an item. Values: the file's values (quantities, stars) add up.",
        choices=(("shoppers", "Number of shoppers"), ("values", "Sum of values")),
    )


class Popularity(Estimator):
    """Score every item by how many shoppers chose it; popularity_: (n_items,) float32."""

    name = "popularity"
    title = "Popularity"
    family = "popular"
    when_to_use = (
        "The yardstick, and for shoppers you know nothing about: everyone gets the shop's best sellers."
    )
    Config: ClassVar[type[Settings]] = PopularityConfig

    popularity_: Float32

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        progress(Progress("fit", 0, 1, "Counting shoppers"))
        by_value = cast(PopularityConfig, self.config).count == "values"
        weights = matrix.data if by_value else None
        counts = np.bincount(matrix.indices, weights, minlength=self.n_items_)
        self.popularity_ = counts.astype(np.float32)
        progress(Progress("fit", 1, 1, "Counted"))

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        return Estimate(memory_bytes=12 * n_items + 8 * n_interactions, seconds=0.001 + 3e-9 * n_interactions)

    def user_state(self, users: Positions) -> UserState:
        return UserState(np.empty((len(users), 0), np.float32))

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        return UserState(np.empty((rows.shape[0], 0), np.float32))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        return np.repeat(self.popularity_[None, :], stop - start, axis=0)

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return self.popularity_[items]

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Give the most popular other items: popularity knows no likeness."""

        def score(start: int, stop: int) -> Float32:
            return np.repeat(self.popularity_[None, :], stop - start, axis=0)

        return rank_alike(score, items, self.n_items_, k, self.threads)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Find nobody: popularity keeps nothing of a user."""
        shape = len(users), k
        return Recommendations(np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32))

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        shoppers = float(self.popularity_[item])
        note = f"Popular with everyone ({shoppers:,.0f}); the shopper's own history has no part in it."
        return Explanation(shoppers, np.empty(0, np.int32), np.empty(0, np.float32), note)

    def arrays(self) -> Arrays:
        return {"popularity": self.popularity_}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.popularity_ = arrays["popularity"]
        if self.popularity_.shape != (self.n_items_,):
            raise ValueError(f"popularity has shape {self.popularity_.shape} for {self.n_items_} items")
