"""User-kNN: recommend what the shoppers most like this one chose.

Resnick, Iacovou, Suchak, Bergstrom & Riedl 1994, "GroupLens: an open architecture for collaborative
filtering"; for choices without stars the sum over neighbours of Sarwar et al. 2000. Pearson's is of values
less each shopper's mean, over the items that both rated. Only the k nearest of each shopper are ever kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.base import (
    LEFT_OUT,
    Arrays,
    Context,
    Estimate,
    Estimator,
    Explanation,
    Positions,
    ProgressCallback,
    Recommendations,
    Settings,
    UserState,
    check_matrix,
    option,
    values_option,
)
from engine.estimators.item_knn import WEIGHTINGS, mean_square
from engine.estimators.likeness import alike_rows, others_of_rows
from engine.estimators.nearest import Formula, centred, correlated, nearest, norms, ones_like, restored, weigh
from engine.estimators.neighbours import (
    pairs_of_blocks,
    positive,
    restored_history,
    sum_of_rows,
)
from engine.interactions import Float32, Int32


@dataclass(frozen=True)
class UserKNNConfig(Settings):
    weighting: str = option(
        "tfidf",
        title="Weighting",
        help="Cosine and Jaccard count every item alike; TF-IDF and BM25 count items of few shoppers more. "
        "Pearson compares the values (stars) that both gave to the same items.",
        choices=WEIGHTINGS,
    )
    neighbours: int = option(
        200,
        title="Neighbours",
        help="How many similar shoppers speak for a shopper. More are steadier and less personal.",
        minimum=1,
        maximum=2000,
        step=10,
        search=(20, 1000),
        log=True,
    )
    shrinkage: float = option(
        0.0,
        title="Shrinkage",
        help="As many items that only one of two shoppers chose are added: a chance meeting counts less.",
        minimum=0.0,
        maximum=1000.0,
        search=(0.0, 50.0),
    )
    values: str = values_option()


class UserKNN(Estimator):
    """neighbours_: (n_users, n_users) CSR, the nearest of each user, best first, herself among them, so that
    a row of the fit folded in gives the same list; history_: (n_users, n_items) CSR of the fit.

    A likeness is not divided by the length of the asked shopper's own history (Jaccard and Pearson are):
    that changes no order, and an item taken from her history takes its part of a score away and no other.
    """

    name = "user_knn"
    title = "Shopper neighbours"
    family = "neighbours"
    when_to_use = (
        "For shops with fewer shoppers than items, or whose shoppers choose much: people alike recommend."
    )
    Config = UserKNNConfig

    history_: sp.csr_matrix
    neighbours_: sp.csr_matrix

    @property
    def settings(self) -> UserKNNConfig:
        return cast(UserKNNConfig, self.config)

    @property
    def keeps_values(self) -> bool:
        return self.settings.weighting == "pearson" or self.settings.values == "confidence"

    @property
    def reads_values(self) -> bool:
        return self.keeps_values

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        self.history_ = self._histories(matrix)
        self._prepare()
        self.neighbours_ = self._nearest(self.history_, progress)

    def _histories(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        return positive(matrix) if self.keeps_values else ones_like(matrix)

    def _prepare(self) -> None:
        """Weigh what rows are compared with, from `history_`: at a fit and at loading."""
        weighting = self.settings.weighting
        if weighting == "pearson":
            candidates = centred(self.history_)
            self._terms = sp.csr_matrix(candidates.T)
        else:
            self._terms = weigh(sp.csr_matrix(self.history_.T), weighting)
            candidates = sp.csr_matrix(self._terms.T)
        self._lengths = norms(candidates)
        self._rarity = rarity(self.history_, weighting)
        self._shrinkage = self.settings.shrinkage * mean_square(candidates)

    def _nearest(self, rows: sp.csr_matrix, progress: ProgressCallback = lambda _: None) -> sp.csr_matrix:
        """Find the nearest users of the fit of (n, n_items) histories."""
        c = self.settings
        if c.weighting == "pearson":
            return correlated(
                centred(rows), self._terms, self._shrinkage, c.neighbours,
                threads=self.threads, progress=progress, leave_out_self=False,
            )  # fmt: skip
        weighed = self._weighed(rows)
        ones = np.ones(rows.shape[0], np.float32)
        if c.weighting == "jaccard":
            formula = Formula(norms(weighed) ** 2, self._lengths**2, self._shrinkage, is_union=True)
        elif c.weighting == "bm25":
            formula = Formula(ones, np.ones(self.n_users_, np.float32), self._shrinkage)
        else:
            formula = Formula(ones, self._lengths, self._shrinkage)
        return nearest(
            weighed, self._terms, formula, c.neighbours,
            threads=self.threads, progress=progress, leave_out_self=False,
        )  # fmt: skip

    def _weighed(self, rows: sp.csr_matrix) -> sp.csr_matrix:
        """Weigh a row by the rarity of its items in the fit; what it has no weight for drops out."""
        values = np.sqrt(rows.data) if self.settings.weighting == "tfidf" else rows.data
        weights = (values * self._rarity[rows.indices]).astype(np.float32)
        return sp.csr_matrix((weights, rows.indices, rows.indptr), shape=rows.shape)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(UserKNNConfig, config)
        k = min(c.neighbours, n_users)
        pairs = n_interactions * (n_interactions / max(n_items, 1)) * 3  # best sellers weigh more
        met = min(n_users, pairs / n_users)
        chosen = n_users * min(k, met)
        memory = 40 * n_interactions + 9 * n_users * k + 8 * chosen + 16 * (n_users + n_items)
        seconds = 0.05 + pairs * 1.7e-9 + met * n_users * 8e-9 + chosen * 4e-8
        return Estimate(memory_bytes=int(memory), seconds=seconds)

    def user_state(self, users: Positions) -> UserState:
        return UserState(self.neighbours_[users])

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Find the neighbours of each row among the users of the fit."""
        self._check_width(rows)
        return UserState(self._nearest(self._histories(check_matrix(rows))))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        return sum_of_rows(sp.csr_matrix(state.rows), self.history_, start, stop)

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return pairs_of_blocks(self, state, items)

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Compare who chose them by cosine."""
        by_item = sp.csr_matrix(self.history_.T)
        return alike_rows(by_item, items, k, self.threads)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Give the neighbours that scoring uses, the user left out."""
        return others_of_rows(self.neighbours_[users], users, k)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Split each neighbour's word for `item` over the items that make her a neighbour.

        Without an item, the mean changes that Pearson compares all others with, and so every likeness: there,
        a part is what the score would lose.
        """
        if self.settings.weighting == "pearson":
            apart = np.abs(history.data - history.data.mean()) if history.nnz else history.data
            tried = np.argsort(-apart, kind="stable")[:LEFT_OUT]  # what is far from her mean says most
            return self._losses(history, item, "No single item of the history raises this score.", tried)
        own = self._histories(history)
        near = self._nearest(own)
        said = self.history_[near.indices][:, [item]].toarray().ravel().astype(np.float64) * near.data
        speak = near.indices[said > 0]
        mine, theirs = self._weighed(own), sp.csr_matrix(self._terms[:, speak].T)
        shared = theirs[:, mine.indices].toarray() * mine.data.astype(np.float64)
        products = shared.sum(axis=1)
        shares = np.divide(said[said > 0], products, out=np.zeros(len(speak)), where=products > 0)
        parts = (shares @ shared).astype(np.float32)
        return Explanation(float(parts.sum()), mine.indices, parts, "No shopper like this one chose it.")

    def arrays(self) -> Arrays:
        near, history = self.neighbours_, self.history_
        arrays = {
            "neighbour_indptr": near.indptr,
            "neighbour_users": near.indices,
            "neighbour_values": near.data,
            "history_indptr": history.indptr,
            "history_items": history.indices,
        }
        return {**arrays, "history_values": history.data} if self.keeps_values else arrays

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.history_ = restored_history(arrays, (self.n_users_, self.n_items_), self.keeps_values)
        near = arrays["neighbour_values"], arrays["neighbour_users"], arrays["neighbour_indptr"]
        self.neighbours_ = restored(*near, (self.n_users_, self.n_users_), "neighbours")
        self._prepare()


def rarity(history: sp.csr_matrix, weighting: str) -> Float32:
    """Weigh items as `weigh` does the candidates' terms: those of few shoppers more, where asked to."""
    if weighting not in ("tfidf", "bm25"):
        return np.ones(history.shape[1], np.float32)
    shoppers = np.bincount(history.indices, minlength=history.shape[1])
    return np.asarray(np.log1p(history.shape[0] / np.maximum(shoppers, 1)), np.float32)
