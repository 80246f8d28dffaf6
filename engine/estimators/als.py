"""ALS for implicit feedback: each shopper and each item becomes a short list of numbers (factors).

Objective: Rendle, Krichene, Zhang & Koren 2021, "Revisiting the performance of iALS on item
recommendation benchmarks", with its regularisation scaled by frequency; confidence and
explanations: Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
Each half sweep is solved in the eigenbasis of the other side's Gram matrix (see `als_kernel`).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.als_kernel import solver
from engine.estimators.base import (
    BLAS,
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
from engine.estimators.factors import UNRELATED, FactorModel, restored_array
from engine.estimators.kernels import padded
from engine.interactions import Float32, Int32

STEPS = 2  # of conjugate gradients in a half sweep: follows an exact solver, see PERFORMANCE
EXACT_STEPS = 40  # for the last half sweep and for fold-in: to convergence
CHUNKS = 64
PARTS = 32  # of rows that threads multiply side by side: BLAS's own threads would spin between the sweeps


# The defaults come from a grid of factors, weight and regularization, measured by NDCG@10 on validation
# splits inside the training parts of five sets (two generated shops, ml-latest-small, Amazon Beauty,
# Gowalla), never on a test part: the setting that keeps 91 to 100 % of each set's own best. The weight is
# a ratio so that one default suits shops of any size.
@dataclass(frozen=True)
class ALSConfig(Settings):
    factors: int = option(
        64,
        title="Factors",
        help="How many numbers describe a shopper or an item. More catch finer tastes and need more data.",
        minimum=8,
        maximum=1024,
        step=8,
        search=(16, 256),
    )
    iterations: int = option(
        10,
        title="Iterations",
        help="Rounds over all shoppers and all items. The gain after ten is small.",
        minimum=1,
        maximum=100,
        step=1,
        search=(3, 20),
    )
    regularization: float = option(
        0.01,
        title="Regularization",
        help="Holds factors small, in proportion to how often a row occurs. Raise it for small data.",
        minimum=1e-6,
        maximum=10.0,
        search=(1e-4, 0.3),
    )
    unobserved_weight: float = option(
        30.0,
        title="Weight of what was not chosen",
        help="How much all that was never touched weighs together, in multiples of all that was chosen.",
        minimum=0.1,
        maximum=10_000.0,
        search=(1.0, 1_000.0),
    )
    values: str = values_option()


@dataclass(frozen=True)
class Side:
    """One side's rows with what their ridge problems need, cut into chunks of about equal work."""

    indptr: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    weights: Float32
    ridge: Float32
    chunks: list[Int32]

    @classmethod
    def of(cls, matrix: sp.csr_matrix, regularization: float, unobserved: float) -> Self:
        total = np.asarray(matrix.sum(axis=1), np.float32).ravel()
        ridge = regularization * (total + unobserved * matrix.shape[1])
        lengths = np.diff(matrix.indptr)
        order = np.argsort(-lengths, kind="stable").astype(np.int32)
        work = np.cumsum(lengths[order] + 8)
        cuts = np.searchsorted(work, np.linspace(0, work[-1], CHUNKS + 1)[1:-1])
        bounds = np.unique(np.concatenate([[0], cuts, [len(order)]]))
        chunks = [order[a:b] for a, b in pairwise(bounds.tolist())]
        return cls(matrix.indptr, matrix.indices, matrix.data, ridge.astype(np.float32), chunks)


class ALS(FactorModel):
    """user_factors_ (n_users, width), item_factors_ (n_items, width), both in the basis where the items'
    Gram matrix is diagonal; spectrum_ (width,): that diagonal times the weight of what was not chosen;
    value_scale_ (1,): the mean value, which counts as a confidence of 1; unobserved_ (1,): the weight
    of one pair that was not chosen, the config's ratio turned into the papers' alpha.
    """

    name = "als"
    title = "ALS (matrix factorization)"
    when_to_use = (
        "The all-round choice for a shop with a few thousand shoppers or more: finds tastes that items share."
    )
    Config = ALSConfig
    folds_in_from_history = True

    spectrum_: Float32
    value_scale_: Float32
    unobserved_: Float32

    @property
    def settings(self) -> ALSConfig:
        return cast(ALSConfig, self.config)

    @property
    def width(self) -> int:
        return padded(self.settings.factors)

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        c = self.settings
        self.value_scale_ = np.array([_mean_above_zero(matrix.data)], np.float32)
        by_user = self._confidences(matrix)
        pairs = self.n_users_ * self.n_items_
        self.unobserved_ = np.array([c.unobserved_weight * max(by_user.nnz, 1) / pairs], np.float32)
        by_item = sp.csr_matrix(by_user.T)
        if c.values == "ignore":
            by_item.data = by_user.data  # ones alike: at 17 M interactions a second array is 68 MB
        users, items = self._side(by_user), self._side(by_item)
        width = self.width
        rng = np.random.default_rng(self.seed)
        start = rng.standard_normal((self.n_items_, c.factors), dtype=np.float32)
        start *= (0.1 / np.sqrt(c.factors)) * (np.diff(by_item.indptr) > 0)[:, None]
        self.user_factors_ = np.zeros((self.n_users_, width), np.float32)
        self.item_factors_ = np.zeros((self.n_items_, width), np.float32)
        self.item_factors_[:, : c.factors] = start
        del start
        with ThreadPoolExecutor(self.threads) as pool, BLAS.limit(limits=1, user_api="blas"):
            for iteration in range(c.iterations):
                progress(Progress("fit", 2 * iteration, 2 * c.iterations + 1, "Shoppers"))
                self._half_sweep(self.user_factors_, self.item_factors_, users, pool, STEPS)
                progress(Progress("fit", 2 * iteration + 1, 2 * c.iterations + 1, "Items"))
                loss = self._half_sweep(self.item_factors_, self.user_factors_, items, pool, STEPS)
                done = 2 * iteration + 2
                progress(Progress("fit", done, 2 * c.iterations + 1, f"Iteration {iteration + 1}", loss))
            self._half_sweep(self.user_factors_, self.item_factors_, users, pool, EXACT_STEPS)
        progress(Progress("fit", 2 * c.iterations + 1, 2 * c.iterations + 1, "Fitted"))

    def _half_sweep(
        self, own: Float32, other: Float32, side: Side, pool: ThreadPoolExecutor, steps: int
    ) -> float:
        """Turn both sides into the eigenbasis of `other`, improve `own`, return the loss before."""
        d = self.settings.factors
        parts = np.array_split(other[:, :d], PARTS)
        gram = sum(pool.map(lambda part: part.T @ part, parts))
        values, vectors = np.linalg.eigh(np.asarray(gram, np.float64))
        rotation = vectors.astype(np.float32)

        def turn(part: Float32) -> None:
            part[:] = part @ rotation

        list(pool.map(turn, [*parts, *np.array_split(own[:, :d], PARTS)]))
        self.spectrum_ = np.zeros(other.shape[1], np.float32)
        self.spectrum_[:d] = self.unobserved_[0] * np.maximum(values, 0)
        dense = float(np.einsum("nk,nk->k", own, own) @ self.spectrum_)
        held = float(side.ridge @ np.einsum("nk,nk->n", own, own))
        solve = solver(other.shape[1])

        def work(chunk: Int32) -> float:
            return solve(
                chunk, side.indptr, side.indices, side.weights, other, self.spectrum_, side.ridge, own, steps
            )

        return sum(pool.map(work, side.chunks)) + dense + held

    def _side(self, matrix: sp.csr_matrix) -> Side:
        return Side.of(matrix, self.settings.regularization, float(self.unobserved_[0]))

    def _confidences(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        """Turn values into confidences: all 1, or those above 0 divided by the mean that `fit` saw."""
        if self.settings.values == "ignore":
            return sp.csr_matrix(
                (np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape
            )
        kept = sp.csr_matrix(matrix, copy=True)
        kept.data = np.maximum(kept.data, 0) / self.value_scale_[0]
        kept.eliminate_zeros()
        return kept

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(ALSConfig, config)
        width = padded(c.factors)
        rows = n_users + n_items
        flops = c.iterations * (2 * n_interactions * width * 14 + rows * width * (3 * width + 60))
        turned = 2 * 4 * width * max(n_users, n_items) // PARTS  # by two threads at the same time
        squares = 4 * PARTS * width**2
        kept = 9 if c.values == "ignore" else 17  # bytes an interaction
        memory = 4 * width * rows + turned + squares + kept * n_interactions + 16 * rows
        return Estimate(memory_bytes=memory, seconds=0.04 + flops / 3.2e10)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Solve for users' factors from their interactions, as the last half sweep of `fit` does."""
        self._check_width(rows)
        side = self._side(self._confidences(check_matrix(rows)))
        own = np.zeros((rows.shape[0], len(self.spectrum_)), np.float32)
        solve = solver(len(self.spectrum_))
        for chunk in side.chunks:
            solve(
                chunk, side.indptr, side.indices, side.weights,
                self.item_factors_, self.spectrum_, side.ridge, own, EXACT_STEPS,
            )  # fmt: skip
        return UserState(own)

    def fold_in_items(self, columns: sp.csr_matrix) -> Float32:
        """Solve for items' factors from all their interactions, as a half sweep of `fit` does.

        columns: (n_users, n) interactions of new or known items. Returns (n, width) float32, in the basis
        of item_factors_; an item without interactions is zero.
        """
        if columns.shape[0] != self.n_users_:
            raise ValueError(f"columns must have {self.n_users_} rows, not {columns.shape[0]}")
        side = self._side(sp.csr_matrix(self._confidences(check_matrix(columns)).T))
        spectrum, rotation = self._eigenbasis(self.user_factors_)
        users = self.user_factors_ @ rotation
        own = np.zeros((columns.shape[1], self.width), np.float32)
        solve = solver(self.width)
        for chunk in side.chunks:
            solve(
                chunk, side.indptr, side.indices, side.weights, users, spectrum, side.ridge, own, EXACT_STEPS
            )
        return np.asarray(own @ rotation.T)

    def with_item_factors(self, factors: Float32) -> Self:
        """Give a copy of the model that has further items, (n, width); the rest is shared or turned."""
        grown = copy(self)
        items = np.concatenate([self.item_factors_, factors])
        grown.spectrum_, rotation = self._eigenbasis(items)
        grown.item_factors_, grown.user_factors_ = items @ rotation, self.user_factors_ @ rotation
        grown.n_items_ = len(items)
        return grown

    def _eigenbasis(self, factors: Float32) -> tuple[Float32, Float32]:
        """Find the turn (width, width) that makes the factors' Gram matrix diagonal, and that diagonal
        times the weight of what was not chosen, (width,)."""
        d = self.settings.factors
        values, vectors = np.linalg.eigh((factors[:, :d].T @ factors[:, :d]).astype(np.float64))
        spectrum, rotation = np.zeros(self.width, np.float32), np.zeros((self.width, self.width), np.float32)
        spectrum[:d] = self.unobserved_[0] * np.maximum(values, 0)
        rotation[:d, :d] = vectors
        return spectrum, rotation

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Split the score into one part an item of the history: c_i · xᵀ A⁻¹ x_i (Hu et al., section 5)."""
        side = self._side(self._confidences(history))
        owned = self.item_factors_[side.indices].astype(np.float64)
        system = (owned.T * side.weights) @ owned + np.diag(self.spectrum_ + side.ridge[0])
        solved = np.linalg.solve(system, self.item_factors_[item].astype(np.float64))
        parts = side.weights * (owned @ solved)
        return Explanation(float(parts.sum()), side.indices, parts.astype(np.float32), UNRELATED)

    def arrays(self) -> Arrays:
        own = {"spectrum": self.spectrum_, "value_scale": self.value_scale_, "unobserved": self.unobserved_}
        return super().arrays() | own

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self.spectrum_ = restored_array(arrays, "spectrum", (self.width,))
        self.value_scale_ = restored_array(arrays, "value_scale", (1,))
        self.unobserved_ = restored_array(arrays, "unobserved", (1,))


def _mean_above_zero(values: Float32) -> float:
    above = values > 0
    return float(values.mean(where=above, dtype=np.float64)) if above.any() else 1.0
