"""Item-kNN: recommend what is most often chosen together with what the shopper already has.

Deshpande & Karypis 2004, "Item-based top-N recommendation algorithms"; TF-IDF and BM25 weighting of
users as in Manning, Raghavan & Schütze, "Introduction to information retrieval", with items as
documents and users as terms. Only the k nearest neighbours of each item are ever kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from numba import njit

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
    in_blocks,
    option,
)
from engine.interactions import Float32, Int32
from engine.topk import sift_down, top_k

BM25_SATURATION, BM25_LENGTH = 1.2, 0.75


# Defaults from the same validation splits as those of ALS.
@dataclass(frozen=True)
class ItemKNNConfig(Settings):
    weighting: str = option(
        "tfidf",
        title="Weighting",
        help="Cosine counts every shopper alike; TF-IDF and BM25 count shoppers who choose few items more.",
        choices=(("cosine", "Cosine"), ("tfidf", "TF-IDF"), ("bm25", "BM25")),
    )
    neighbours: int = option(
        30,
        title="Neighbours",
        help="How many similar items are kept an item. More reach further and need more memory.",
        minimum=1,
        maximum=2000,
        step=10,
    )
    shrinkage: float = option(
        10.0,
        title="Shrinkage",
        help="As many shoppers who chose one item without the other are added: rare items come later.",
        minimum=0.0,
        maximum=1000.0,
    )
    values: str = option(
        "ignore",
        title="Values in the file",
        help="Ignore: every interaction is one yes. Confidence: a higher value is a stronger yes.",
        choices=(("ignore", "Ignore them"), ("confidence", "Use them as confidence")),
    )


class ItemKNN(Estimator):
    """similarity_: (n_items, n_items) CSR, row i the nearest of i; history_: the matrix of the fit."""

    name = "item_knn"
    title = "Item neighbours"
    when_to_use = (
        "Good for small and middling shops and quick to train; every recommendation has an obvious reason."
    )
    Config = ItemKNNConfig

    similarity_: sp.csr_matrix
    history_: sp.csr_matrix

    @property
    def settings(self) -> ItemKNNConfig:
        return cast(ItemKNNConfig, self.config)

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        c = self.settings
        self.history_ = self._histories(matrix)
        by_user = weigh(self.history_, c.weighting)
        by_item = sp.csr_matrix(by_user.T)
        norms = np.ones(self.n_items_, np.float32)
        if c.weighting != "bm25":
            norms = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1), np.float32)).ravel()
        one_shopper = np.mean(np.square(by_user.data), dtype=np.float64) if by_user.nnz else 1.0
        shrinkage = np.float32(c.shrinkage * one_shopper)
        k = min(c.neighbours, self.n_items_)
        items = np.full((self.n_items_, k), -1, np.int32)
        values = np.zeros((self.n_items_, k), np.float32)

        def work(start: int, stop: int) -> None:
            find_neighbours(
                start, stop, by_item.indptr, by_item.indices, by_item.data,
                by_user.indptr, by_user.indices, by_user.data, norms, shrinkage, items, values,
            )  # fmt: skip

        def after(done: int) -> None:
            progress(Progress("fit", done, self.n_items_, "Neighbours"))

        after(0)
        in_blocks(work, self.n_items_, max(1, self.n_items_ // 64), self.threads, after)
        kept = items >= 0
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
        self.similarity_ = sp.csr_matrix(
            (values[kept], items[kept], indptr), shape=(self.n_items_, self.n_items_)
        )

    def _histories(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        if self.settings.values == "ignore":
            return sp.csr_matrix(
                (np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape
            )
        kept = sp.csr_matrix(matrix, copy=True)
        kept.data = np.maximum(kept.data, 0)
        kept.eliminate_zeros()
        return kept

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(ItemKNNConfig, config)
        pairs = n_interactions * (n_interactions / max(n_users, 1)) * 3  # long histories weigh more
        choosing = 1 + min(c.neighbours, n_items) / 150
        kept = n_items * min(c.neighbours, n_items)
        memory = 24 * n_interactions + 12 * kept + 16 * (n_users + n_items)
        return Estimate(memory_bytes=memory, seconds=0.05 + pairs * choosing * 4e-9)

    def user_state(self, users: Positions) -> UserState:
        return UserState(self.history_[users])

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Take the rows as they are: a user is her history."""
        if rows.shape[1] != self.n_items_:
            raise ValueError(f"rows must have {self.n_items_} columns, not {rows.shape[1]}")
        return UserState(self._histories(check_matrix(rows)))

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        scores = np.zeros((stop - start, self.n_items_), np.float32)
        near, rows = self.similarity_, sp.csr_matrix(state.rows)
        add_neighbours(
            start, rows.indptr, rows.indices, rows.data, near.indptr, near.indices, near.data, scores
        )
        scores[scores == 0] = -np.inf  # no neighbour in the history: no reason to recommend it
        return scores

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        scores = np.empty(len(items), np.float32)

        def work(start: int, stop: int) -> None:
            block = self._block_scores(state, start, stop)
            scores[start:stop] = block[np.arange(stop - start), items[start:stop]]

        in_blocks(work, len(items), 256, self.threads)
        return np.where(np.isfinite(scores), scores, np.float32(0))

    def similar_items(self, items: Positions, k: int = 10) -> Recommendations:
        """Give the neighbours that scoring uses, at most as many as the config keeps."""
        asked = self._checked(items, self.n_items_, "item")
        found = np.full((len(asked), k), -1, np.int32)
        scores = np.full((len(asked), k), -np.inf, np.float32)
        near = self.similarity_
        for at, item in enumerate(asked):
            start, stop = near.indptr[item], min(near.indptr[item + 1], near.indptr[item] + k)
            found[at, : stop - start] = near.indices[start:stop]
            scores[at, : stop - start] = near.data[start:stop]
        return Recommendations(found, scores)

    def similar_users(self, users: Positions, k: int = 10) -> Recommendations:
        """Compare histories by cosine."""
        asked = self._checked(users, self.n_users_, "user")
        norms = np.sqrt(np.asarray(self.history_.multiply(self.history_).sum(axis=1), np.float32)).ravel()
        scores = np.ascontiguousarray((self.history_[asked] @ self.history_.T).toarray(), np.float32)
        scores[scores == 0] = -np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            scores /= norms[asked, None] * norms
        scores[np.arange(len(asked)), asked] = -np.inf
        return Recommendations(*top_k(scores, k))

    def explain(self, row: sp.csr_matrix, item: int, k: int = 5) -> Explanation:
        """Split the score into the similarity that each item of the history adds."""
        history = sp.csr_matrix(self.fold_in(row).rows)
        parts = np.zeros(history.nnz, np.float32)
        for at, owned in enumerate(history.indices):
            start, stop = self.similarity_.indptr[owned : owned + 2]
            here = self.similarity_.indices[start:stop] == item
            parts[at] = history.data[at] * self.similarity_.data[start:stop][here].sum()
        order = np.argsort(-parts, kind="stable")[:k]
        order = order[parts[order] > 0]
        note = "" if len(order) else "Nothing in the history is a neighbour of this item."
        return Explanation(float(parts.sum()), history.indices[order], parts[order], note)

    def arrays(self) -> Arrays:
        near, history = self.similarity_, self.history_
        arrays = {
            "neighbour_indptr": near.indptr,
            "neighbour_items": near.indices,
            "neighbour_values": near.data,
            "history_indptr": history.indptr,
            "history_items": history.indices,
        }
        return arrays if self.settings.values == "ignore" else {**arrays, "history_values": history.data}

    def _restore(self, arrays: Mapping[str, npt.NDArray]) -> None:
        n_users, n_items = self.n_users_, self.n_items_
        items = arrays["history_items"]
        ignore = self.settings.values == "ignore"
        values = np.ones(len(items), np.float32) if ignore else arrays["history_values"]
        self.history_ = restored(values, items, arrays["history_indptr"], (n_users, n_items), "history")
        near = arrays["neighbour_values"], arrays["neighbour_items"], arrays["neighbour_indptr"]
        self.similarity_ = restored(*near, (n_items, n_items), "neighbours")


def weigh(history: sp.csr_matrix, weighting: str) -> sp.csr_matrix:
    """Weigh (n_users, n_items) values so that shoppers of few items count more; cosine leaves them."""
    if weighting == "cosine":
        return history
    lengths = np.diff(history.indptr)
    rarity = np.log1p(history.shape[1] / np.maximum(lengths, 1)).astype(np.float32)
    rarity_of = np.repeat(rarity, lengths)
    if weighting == "tfidf":
        weights = np.sqrt(history.data) * rarity_of
    else:
        chosen = np.bincount(history.indices, history.data, minlength=history.shape[1])
        length = 1 - BM25_LENGTH + BM25_LENGTH * chosen / max(chosen.mean(), 1e-12)
        saturated = (
            history.data * (BM25_SATURATION + 1) / (BM25_SATURATION * length[history.indices] + history.data)
        )
        weights = saturated * rarity_of
    return sp.csr_matrix((weights.astype(np.float32), history.indices, history.indptr), shape=history.shape)


def restored(
    values: npt.NDArray, items: npt.NDArray, indptr: npt.NDArray, shape: tuple[int, int], name: str
) -> sp.csr_matrix:
    """Build a CSR from an artifact's arrays; raise ValueError when kernels could not trust its positions."""
    typed = (values.dtype, items.dtype, indptr.dtype) == (np.float32, np.int32, np.int32)
    if not typed or indptr.shape != (shape[0] + 1,) or not values.shape == items.shape == (indptr[-1],):
        raise ValueError(f"{name} do not have one row for each of {shape[0]:,} entries")
    if (
        indptr[0] != 0
        or (np.diff(indptr) < 0).any()
        or (len(items) and not 0 <= items.min() <= items.max() < shape[1])
    ):
        raise ValueError(f"{name} point outside the {shape[1]:,} items")
    return sp.csr_matrix((values, items, indptr), shape=shape)


@njit(cache=True, nogil=True, error_model="numpy")
def find_neighbours(  # type: ignore[no-untyped-def]
    first, last, item_indptr, item_users, item_weights, user_indptr, user_items, user_weights,
    norms, shrinkage, items, values,
):  # fmt: skip
    """Write the most similar items of items first..last, best first: x·y / (|x| |y| + shrinkage)."""
    n, k = len(norms), items.shape[1]
    sums = np.zeros(n, np.float32)
    met_at = np.full(n, -1, np.int32)
    met = np.empty(n, np.int32)
    for item in range(first, last):
        count = 0
        for a in range(item_indptr[item], item_indptr[item + 1]):
            user, weight = item_users[a], item_weights[a]
            for b in range(user_indptr[user], user_indptr[user + 1]):
                other = user_items[b]
                if met_at[other] != item:
                    met_at[other] = item
                    met[count] = other
                    sums[other] = 0
                    count += 1
                sums[other] += weight * user_weights[b]
        keys, kept = np.full(k, np.float32(-np.inf)), np.full(k, np.int32(-1))
        for m in range(count):
            other = met[m]
            similarity = sums[other] / (norms[item] * norms[other] + shrinkage)
            better = similarity > keys[0] or (similarity == keys[0] and other < kept[0])
            if other != item and similarity > 0 and better:
                sift_down(keys, kept, k, similarity, other)
        for place in range(k - 1, -1, -1):
            items[item, place] = kept[0]
            values[item, place] = keys[0]
            sift_down(keys, kept, place, keys[place], kept[place])


@njit(cache=True, nogil=True, error_model="numpy")
def add_neighbours(first, indptr, items, weights, near_indptr, near_items, near_values, scores):  # type: ignore[no-untyped-def]
    """Add, for each history item of rows first.., its similarity to all its neighbours."""
    for row in range(scores.shape[0]):
        for a in range(indptr[first + row], indptr[first + row + 1]):
            item, weight = items[a], weights[a]
            for b in range(near_indptr[item], near_indptr[item + 1]):
                scores[row, near_items[b]] += weight * near_values[b]
