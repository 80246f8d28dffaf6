"""Content: recommend what reads like the shopper's own items, be it bought by nobody yet.

Items are TF-IDF vectors of title, category and price (`item_text`); a shopper is the weighted sum of her
items' vectors. Pazzani & Billsus 2007, "Content-based recommendation systems".
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
    values_option,
)
from engine.estimators.item_text import describe_items
from engine.estimators.likeness import rank_alike
from engine.estimators.nearest import add_neighbours, norms, ones_like, restored
from engine.estimators.neighbours import positive
from engine.interactions import Float32, Int32

USERS_AT_ONCE = 512


@dataclass(frozen=True)
class ContentConfig(Settings):
    min_items: int = option(
        2,
        title="Titles a word must be in",
        help="Words in fewer titles are ignored: a word that only one item has makes it like no other.",
        minimum=1,
        maximum=1000,
        step=1,
    )
    category_weight: float = option(
        1.0,
        title="Weight of the category",
        help="How much the same category counts beside the words of the title, which count 1.",
        minimum=0.0,
        maximum=10.0,
        search=(0.0, 3.0),
    )
    price_weight: float = option(
        0.3,
        title="Weight of the price",
        help="How much a similar price counts beside the words of the title, which count 1.",
        minimum=0.0,
        maximum=10.0,
        search=(0.0, 2.0),
    )
    values: str = values_option()


class Content(Estimator):
    """traits_: (n_items, n_traits) CSR, rows of length 1; items_by_trait_: its transpose, as CSR;
    history_: the matrix of the fit, its values as weights; profile_lengths_: (n_users,) float32.

    The score is the weighted sum of the cosines between an item and those of the history. It orders items
    exactly as the cosine to the mean of the history does (both differ by one factor a shopper), but each
    item of the history adds its own part to it, and taking a part away lowers it.
    """

    name = "content"
    title = "Content (titles, categories, prices)"
    family = "content"
    when_to_use = (
        "For items that nobody has bought yet and for shops whose titles say much: needs an item file, and "
        "knows nothing of taste beyond words, category and price."
    )
    Config = ContentConfig
    needs = frozenset({"items"})

    traits_: sp.csr_matrix
    items_by_trait_: sp.csr_matrix
    history_: sp.csr_matrix
    profile_lengths_: Float32

    @property
    def settings(self) -> ContentConfig:
        return cast(ContentConfig, self.config)

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        assert context.items is not None
        c, total = self.settings, self.n_items_ + self.n_users_
        progress(Progress("fit", 0, total, "Titles"))
        self.traits_ = describe_items(
            context.items,
            min_items=c.min_items,
            category_weight=c.category_weight,
            price_weight=c.price_weight,
            after=lambda done: progress(Progress("fit", done, total, "Titles")),
        )
        self.items_by_trait_ = sp.csr_matrix(self.traits_.T)
        self.history_ = self._histories(matrix)
        self.profile_lengths_ = np.empty(self.n_users_, np.float32)
        for start in range(0, self.n_users_, USERS_AT_ONCE):
            block = slice(start, min(self.n_users_, start + USERS_AT_ONCE))
            self.profile_lengths_[block] = norms(self.history_[block] @ self.traits_)
            progress(Progress("fit", self.n_items_ + block.stop, total, "Shoppers"))

    def _histories(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        return ones_like(matrix) if self.settings.values == "ignore" else positive(matrix)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        """Titles of about five words are assumed."""
        history = n_interactions / max(n_users, 1)
        block = 60 * min(n_users, USERS_AT_ONCE) * history
        memory = 320 * n_items + 4 * n_interactions + 4 * n_users + int(block)
        return Estimate(memory, 0.005 + 3.5e-6 * n_items + 1e-7 * n_interactions)

    def user_state(self, users: Positions) -> UserState:
        return UserState(sp.csr_matrix(self.history_[users] @ self.traits_))

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Add up the vectors of the rows' items."""
        self._check_width(rows)
        return UserState(sp.csr_matrix(self._histories(check_matrix(rows)) @ self.traits_))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        scores = self._likeness(sp.csr_matrix(state.rows[start:stop]))
        scores[scores == 0] = -np.inf  # nothing in common with the history: no reason to recommend it
        return scores

    def _likeness(self, profiles: sp.csr_matrix) -> Float32:
        """Multiply (n, n_traits) profiles with all items: (n, n_items)."""
        scores = np.zeros((profiles.shape[0], self.n_items_), np.float32)
        by_trait = self.items_by_trait_
        add_neighbours(
            0, profiles.indptr, profiles.indices, profiles.data,
            by_trait.indptr, by_trait.indices, by_trait.data, scores,
        )  # fmt: skip
        return scores

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return np.asarray(self.traits_[items].multiply(state.rows).sum(axis=1), np.float32).ravel()

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Compare what is said of the items by cosine; an item of which nothing is known has none."""

        def score(start: int, stop: int) -> Float32:
            scores = self._likeness(sp.csr_matrix(self.traits_[items[start:stop]]))
            scores[scores == 0] = -np.inf
            return scores

        return rank_alike(score, items, self.n_items_, k, self.threads)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Compare the sums of the histories' vectors by cosine."""
        profiles = sp.csr_matrix(self.history_[users] @ self.traits_)
        lengths = self.profile_lengths_

        def score(start: int, stop: int) -> Float32:
            scores = np.ascontiguousarray((self.history_ @ self._likeness(profiles[start:stop]).T).T)
            scores[scores == 0] = -np.inf
            with np.errstate(divide="ignore", invalid="ignore"):
                scores /= lengths[users[start:stop], None] * lengths
            return scores

        return rank_alike(score, users, max(self.n_users_, self.n_items_), k, self.threads)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Split the score into the likeness of the item to each item of the history."""
        weights = self._histories(history)
        likeness = (self.traits_[weights.indices] @ self.traits_[item].T).toarray().ravel()
        parts = np.asarray(weights.data * likeness, np.float32)
        note = "This item has nothing in common with the items of the history."
        return Explanation(float(parts.sum()), weights.indices, parts, note)

    def arrays(self) -> Arrays:
        traits, by_trait, history = self.traits_, self.items_by_trait_, self.history_
        arrays = {
            "trait_indptr": traits.indptr,
            "trait_columns": traits.indices,
            "trait_values": traits.data,
            "by_trait_indptr": by_trait.indptr,
            "by_trait_items": by_trait.indices,
            "by_trait_values": by_trait.data,
            "history_indptr": history.indptr,
            "history_items": history.indices,
            "profile_lengths": self.profile_lengths_,
        }
        return arrays if self.settings.values == "ignore" else {**arrays, "history_values": history.data}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        n_users, n_items = self.n_users_, self.n_items_
        n_traits = max(len(arrays["by_trait_indptr"]) - 1, 0)
        items = arrays["history_items"]
        ignore = self.settings.values == "ignore"
        values = np.ones(len(items), np.float32) if ignore else arrays["history_values"]
        self.history_ = restored(values, items, arrays["history_indptr"], (n_users, n_items), "history")
        traits = arrays["trait_values"], arrays["trait_columns"], arrays["trait_indptr"]
        self.traits_ = restored(*traits, (n_items, n_traits), "traits")
        by_trait = arrays["by_trait_values"], arrays["by_trait_items"], arrays["by_trait_indptr"]
        self.items_by_trait_ = restored(*by_trait, (n_traits, n_items), "items by trait")
        self.profile_lengths_ = arrays["profile_lengths"]
        if self.profile_lengths_.shape != (n_users,):
            raise ValueError(f"profile_lengths has shape {self.profile_lengths_.shape} for {n_users} users")
