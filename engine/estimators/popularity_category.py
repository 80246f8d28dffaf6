"""Popularity by category: the best sellers of the categories that a shopper chooses from.

A count over groups of items, as shops show it on category pages; the whole shop counts as one choice more,
so that a shopper of whom nothing is known gets what everyone gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

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
    check_matrix,
    option,
)
from engine.estimators.factors import restored_array
from engine.estimators.likeness import alike_rows, rank_alike
from engine.estimators.nearest import restored
from engine.interactions import Float32, Int32


@dataclass(frozen=True)
class PopularityCategoryConfig(Settings):
    everyone: float = option(
        1.0,
        title="Weight of the whole shop",
        help="How many of a shopper's own choices the whole shop's best sellers weigh as much as.",
        minimum=0.0,
        maximum=1000.0,
        search=(0.1, 30.0),
    )


class PopularityCategory(Estimator):
    """popularity_: (n_items,) float32, shoppers of each item; category_of_: (n_items,) int32, -1 = none;
    profiles_: (n_users, n_categories) CSR, how many items of each category a shopper has.

    The score is everyone * (the item's share of all choices) + its share of its category's choices once for
    each item of the history in that category.
    """

    name = "popularity_category"
    title = "Popular in a shopper's categories"
    family = "popular"
    when_to_use = (
        "For wide shops and short histories: everyone gets the best sellers of the categories she chose "
        "from. The item file needs categories."
    )
    Config = PopularityCategoryConfig
    needs = frozenset({"items"})

    popularity_: Float32
    category_of_: Int32
    profiles_: sp.csr_matrix

    @property
    def settings(self) -> PopularityCategoryConfig:
        return cast(PopularityCategoryConfig, self.config)

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        progress(Progress("fit", 0, 2, "Counting shoppers"))
        assert context.items is not None
        if (context.items.category_of < 0).all():
            raise ValueError("The item file gives no categories. Add them, or choose Popularity.")
        self.category_of_ = context.items.category_of.astype(np.int32)
        self.popularity_ = np.bincount(matrix.indices, minlength=self.n_items_).astype(np.float32)
        self._count()
        progress(Progress("fit", 1, 2, "Counting categories"))
        self.profiles_ = self._profiles(matrix)
        progress(Progress("fit", 2, 2, "Counted"))

    def _count(self) -> None:
        """Derive each item's part in a score: for everyone, and for each item of the history like it."""
        counts, known = self.popularity_.astype(np.float64), self.category_of_ >= 0
        self._n_categories = int(self.category_of_.max()) + 1
        sums = np.bincount(self.category_of_[known], counts[known], minlength=self._n_categories)
        of_category = np.where(known, counts / np.maximum(sums, 1)[self.category_of_], 0)
        self._within = of_category.astype(np.float32)
        self._overall = (self.settings.everyone * counts / max(counts.sum(), 1)).astype(np.float32)

    def _profiles(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        categories = self.category_of_[matrix.indices]
        rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
        known = categories >= 0
        ones = np.ones(np.count_nonzero(known), np.float32)
        shape = matrix.shape[0], self._n_categories
        return sp.csr_matrix((ones, (rows[known], categories[known])), shape=shape)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        memory = 40 * n_items + 8 * n_users + 30 * n_interactions
        return Estimate(memory, 0.003 + 3e-8 * n_interactions)

    def user_state(self, users: Positions) -> UserState:
        return UserState(self.profiles_[users])

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Count the categories of the rows' items."""
        self._check_width(rows)
        return UserState(self._profiles(check_matrix(rows)))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        of_each = sp.csr_matrix(state.rows[start:stop]).toarray()
        scores: Float32 = of_each[:, self.category_of_]  # an item without a category reads the last, times 0
        scores *= self._within
        scores += self._overall
        return scores

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        if not len(items):  # SciPy gives no array then
            return np.empty(0, np.float32)
        profiles = sp.csr_matrix(state.rows)
        of_each = np.asarray(profiles[np.arange(len(items)), self.category_of_[items]], np.float32).ravel()
        return np.asarray(of_each * self._within[items] + self._overall[items], np.float32)

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Give the best sellers of the item's own category; none, when it has none."""

        def score(start: int, stop: int) -> Float32:
            of = self.category_of_[items[start:stop], None]
            return np.where((of == self.category_of_) & (of >= 0), self.popularity_, np.float32(-np.inf))

        return rank_alike(score, items, self.n_items_, k, self.threads)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Compare how often each category was chosen by cosine."""
        return alike_rows(self.profiles_, users, k, self.threads)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Name the items of the history in the same category; each adds the same."""
        score = float(self.score(self.fold_in(history), np.array([item]))[0])
        alike = history.indices[self.category_of_[history.indices] == self.category_of_[item]]
        parts = np.full(len(alike), self._within[item], np.float32)
        return Explanation(
            score, alike, parts, "Popular with everyone; nothing in the history is of this category."
        )

    def arrays(self) -> Arrays:
        return {
            "popularity": self.popularity_,
            "category_of": self.category_of_,
            "profile_indptr": self.profiles_.indptr,
            "profile_categories": self.profiles_.indices,
            "profile_counts": self.profiles_.data,
        }

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        n = self.n_items_
        self.popularity_ = restored_array(arrays, "popularity", (n,))
        self.category_of_ = of = arrays["category_of"]
        if of.shape != (n,) or of.dtype != np.int32 or not -1 <= of.min() <= of.max() < n or of.max() < 0:
            raise ValueError(f"category_of is not one category for each of {n:,} items")
        self._count()
        profiles = arrays["profile_counts"], arrays["profile_categories"], arrays["profile_indptr"]
        self.profiles_ = restored(*profiles, (self.n_users_, self._n_categories), "profiles")
