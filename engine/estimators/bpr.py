"""BPR: learn to put what a shopper chose above what she did not, one random pair at a time.

Rendle, Freudenthaler, Gantner & Schmidt-Thieme 2009, "BPR: Bayesian personalized ranking from implicit
feedback", with an appeal of each item beside its factors. The pairs are drawn one after another from one
seed, so that a second fit gives the same model to the last bit whatever the number of threads. Where values
are confidences, a choice is drawn as often as its value says (as in Gantner, Drumond, Freudenthaler &
Schmidt-Thieme 2012, "Personalized ranking for non-uniformly sampled items").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from numba import njit

from engine.estimators.base import (
    Arrays,
    Context,
    Estimate,
    Explanation,
    Progress,
    ProgressCallback,
    Settings,
    UserState,
    check_matrix,
    option,
    values_option,
)
from engine.estimators.factors import FactorModel, restored_array
from engine.estimators.kernels import FAST
from engine.estimators.neighbours import positive
from engine.interactions import Float32, Int32

FOLD_EPOCHS, FOLD_RATE = 30, 0.1  # of a shopper's own vector, when the items are settled
MOST = 1 / FOLD_RATE  # as many times the mean confidence a fold-in counts at most, so that steps stay bounded
START = 0.3  # length of a row of factors before the first step
SHIFT, ROW_STEP, EPOCH_STEP = np.uint64(32), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
MIX_ONE, MIX_TWO = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
ONE = np.float32(1)


# The rate and the regularization are the best of four pairs by Recall@20 and NDCG@20 on a validation split
# inside the training part of Gowalla.
@dataclass(frozen=True)
class BPRConfig(Settings):
    factors: int = option(
        64,
        title="Factors",
        help="How many numbers describe a shopper or an item. More catch finer tastes and need more data.",
        minimum=1,
        maximum=1024,
        step=8,
        search=(16, 256),
        log=True,
    )
    epochs: int = option(
        100,
        title="Epochs",
        help="As many random pairs are drawn as there are interactions, this many times.",
        minimum=1,
        maximum=1000,
        step=10,
        search=(20, 200),
        log=True,
    )
    learning_rate: float = option(
        0.1,
        title="Learning rate",
        help="How far one pair moves the factors at first; it falls to zero by the last epoch.",
        minimum=1e-4,
        maximum=1.0,
        search=(0.01, 0.3),
    )
    regularization: float = option(
        0.01,
        title="Regularization",
        help="Holds factors small. Raise it for small data.",
        minimum=0.0,
        maximum=1.0,
        search=(1e-4, 0.1),
    )
    values: str = values_option()


class BPR(FactorModel):
    """item_factors_: factors, then the item's appeal to everybody; user_factors_: factors, then 1.

    value_scale_: the mean value, which counts as a confidence of 1.
    """

    value_scale_: float = 1.0

    name = "bpr"
    title = "BPR (learning to rank)"
    when_to_use = (
        "Learns the order of a list rather than how sure a choice is; worth a comparison with ALS, which is "
        "quicker and mostly stronger."
    )
    Config = BPRConfig

    @property
    def settings(self) -> BPRConfig:
        return cast(BPRConfig, self.config)

    @property
    def width(self) -> int:
        return self.settings.factors + 1

    def _tastes(self, factors: Float32) -> Float32:
        return factors[:, :-1]

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        c = self.settings
        if self.reads_values:
            matrix = positive(matrix)
            self.value_scale_ = float(matrix.data.mean(dtype=np.float64)) if matrix.nnz else 1.0
        rng = np.random.default_rng(self.seed)
        reach = START / np.sqrt(c.factors)
        users = rng.standard_normal((self.n_users_, self.width), dtype=np.float32) * np.float32(reach)
        items = rng.standard_normal((self.n_items_, self.width), dtype=np.float32) * np.float32(reach)
        users[:, -1], items[:, -1] = 1, 0
        owners = np.repeat(np.arange(self.n_users_, dtype=np.int32), np.diff(matrix.indptr))
        state = rng.integers(1, 2**63, dtype=np.uint64)
        drawn = owners, matrix.indices
        progress(Progress("fit", 0, c.epochs + 1, "Pairs"))
        for epoch in range(c.epochs):
            rate = np.float32(c.learning_rate * (1 - epoch / c.epochs))
            if self.reads_values:
                places = draw_by_weight(matrix.data, float(rng.random()))
                drawn = owners[places], matrix.indices[places]
            state, loss = learn_pairs(
                users, items, matrix.indptr, matrix.indices, *drawn, np.uint64(state), rate,
                np.float32(c.regularization),
            )  # fmt: skip
            progress(Progress("fit", epoch + 1, c.epochs + 1, f"Epoch {epoch + 1}", loss))
        self.item_factors_ = items
        self.user_factors_ = self._fold(matrix)
        progress(Progress("fit", c.epochs + 1, c.epochs + 1, "Fitted"))

    def _fold(self, rows: sp.csr_matrix, item: int = -1, parts: npt.NDArray[Any] | None = None) -> Float32:
        users = np.zeros((rows.shape[0], self.width), np.float32)
        users[:, -1] = 1
        weights = np.ones(rows.nnz, np.float32)
        if self.reads_values:
            weights = np.minimum(rows.data / np.float32(self.value_scale_), np.float32(MOST))
        settle_users(
            users, self.item_factors_, rows.indptr, rows.indices, weights, FOLD_EPOCHS, np.float32(FOLD_RATE),
            np.float32(self.settings.regularization), np.uint64(self.seed), item,
            np.zeros(0) if parts is None else parts,
        )  # fmt: skip
        return users

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(BPRConfig, config)
        width = c.factors + 1
        steps = n_interactions * (c.epochs + FOLD_EPOCHS)
        entries = 44 if c.values == "confidence" else 8  # bytes: owners, weights; a copy, draws
        memory = 4 * width * (2 * n_users + n_items) + entries * n_interactions
        return Estimate(memory_bytes=memory, seconds=0.05 + steps * (60 + 1.4 * width) * 1e-9)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Learn users' factors from their interactions alone, the items settled, as the end of `fit` does."""
        self._check_width(rows)
        return UserState(self._fold(self._history(check_matrix(rows))))

    def _history(self, rows: sp.csr_matrix) -> sp.csr_matrix:
        return positive(rows) if self.reads_values else rows

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Follow how far the steps of each item of the history moved this item's score.

        The score is the sum of these parts and the item's appeal to everybody.
        """
        history = self._history(history)
        parts = np.zeros(history.nnz)
        self._fold(history, item, parts)
        score = float(parts.sum() + self.item_factors_[item, -1])
        note = "Nothing in the history speaks for this item; its score is its appeal to everybody."
        return Explanation(score, history.indices, parts.astype(np.float32), note)

    def arrays(self) -> Arrays:
        scale = np.array([self.value_scale_], np.float32)
        return {**super().arrays(), "value_scale": scale} if self.reads_values else super().arrays()

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        if self.reads_values:
            self.value_scale_ = float(restored_array(arrays, "value_scale", (1,))[0])


def draw_by_weight(weights: Float32, offset: float) -> Int32:
    """Draw as many places as there are weights, each as often as its share of their sum says.

    offset: 0 to 1, which decides what becomes of the fractions (systematic sampling). In order.
    """
    if len(weights) == 0:
        return np.empty(0, np.int32)
    ends = np.cumsum(weights, dtype=np.float64)
    ends *= len(weights) / ends[-1]
    ends[-1] = len(weights)  # whatever was lost in rounding
    upto = np.floor(ends + offset).astype(np.int32)
    upto[1:] -= upto[:-1].copy()
    places: Int32 = np.repeat(np.arange(len(weights), dtype=np.int32), upto)
    return places


@njit(cache=True, nogil=True, inline="always")
def owns(indices, start, stop, item):  # type: ignore[no-untyped-def]
    """Say whether a sorted row of a CSR lists the item."""
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < stop and indices[low] == item


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def learn_pairs(users, items, indptr, indices, owners, chosen, state, rate, held):  # type: ignore[no-untyped-def]
    """Take one step for each of len(chosen) random pairs; return the generator's state and the mean loss.

    owners, chosen: who chose what, once or as often as it counts; indptr, indices: the histories.
    """
    n, m, d = np.uint64(len(chosen)), np.uint64(items.shape[0]), users.shape[1] - 1
    loss, taken = 0.0, 0
    for _ in range(len(chosen)):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        at = np.int64(((state >> SHIFT) * n) >> SHIFT)
        user, liked = owners[at], chosen[at]
        start, stop = indptr[user], indptr[user + 1]
        if stop - start >= items.shape[0]:
            continue  # she has everything: there is nothing to put below
        other = liked
        while owns(indices, start, stop, other):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            other = np.int32(((state >> SHIFT) * m) >> SHIFT)
        p, x, y = users[user], items[liked], items[other]
        ahead = x[d] - y[d]
        for k in range(d):
            ahead += p[k] * (x[k] - y[k])
        pull = ONE / (ONE + np.exp(ahead))
        loss += np.log1p(np.exp(-ahead))
        taken += 1
        x[d] += rate * (pull - held * x[d])
        y[d] -= rate * (pull + held * y[d])
        for k in range(d):
            w, xk, yk = p[k], x[k], y[k]
            p[k] = w + rate * (pull * (xk - yk) - held * w)
            x[k] = xk + rate * (pull * w - held * xk)
            y[k] = yk - rate * (pull * w + held * yk)
    return state, loss / max(taken, 1)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def settle_users(users, items, indptr, indices, weights, epochs, first_rate, held, seed, target, parts):  # type: ignore[no-untyped-def]
    """Learn each user's factors from zero, the items fixed; of one row, also each item's part in a score.

    weights: how far a step of each choice goes, 1 the whole way.

    What an item is compared with depends on the seed, the epoch and the item alone: the same history gives
    the same factors wherever its row stands, and leaving one item out changes nothing for the others.
    """
    m, d = np.uint64(items.shape[0]), users.shape[1] - 1
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        if stop - start >= items.shape[0]:
            continue
        p, kept = users[user], 1.0
        for epoch in range(epochs):
            rate = np.float32(first_rate * (ONE - np.float32(epoch) / np.float32(epochs)))
            for at in range(start, stop):
                liked = indices[at]
                state = seed + np.uint64(liked) * ROW_STEP + np.uint64(epoch) * EPOCH_STEP
                other = liked
                while owns(indices, start, stop, other):
                    state += ROW_STEP
                    mixed = (state ^ (state >> np.uint64(30))) * MIX_ONE
                    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_TWO
                    mixed ^= mixed >> np.uint64(31)
                    other = np.int32(((mixed >> SHIFT) * m) >> SHIFT)
                x, y = items[liked], items[other]
                ahead = x[d] - y[d]
                for k in range(d):
                    ahead += p[k] * (x[k] - y[k])
                pull = weights[at] / (ONE + np.exp(ahead))
                for k in range(d):
                    p[k] += rate * (pull * (x[k] - y[k]) - held * p[k])
                if target >= 0:
                    kept *= 1.0 - rate * held
                    moved = np.float32(0)
                    for k in range(d):
                        moved += (x[k] - y[k]) * items[target, k]
                    parts[at] += rate * pull * moved / kept
        if target >= 0:
            parts *= kept
