"""EASE: one linear model over all pairs of items, solved in closed form.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data": with P = (XᵀX + λI)⁻¹, the weight from item
i to item j is -P_ij / P_jj and nothing from an item to itself. Time grows with the cube of the items and
memory with their square, so that it is refused beyond a configured number of items.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp
from scipy.linalg.lapack import get_lapack_funcs

from engine.estimators.base import BLAS, Estimate, Progress, ProgressCallback, Settings, option, values_option
from engine.estimators.neighbours import NeighbourModel
from engine.interactions import Float32

ROWS = 256  # items whose weights are dense at once


@dataclass(frozen=True)
class EASEConfig(Settings):
    regularization: float = option(
        100.0,
        title="Regularization",
        help="Holds weights small. Raise it for shops with few choices an item.",
        minimum=0.1,
        maximum=100_000.0,
        search=(5.0, 5_000.0),
    )
    neighbours: int = option(
        1000,
        title="Weights kept",
        help="How many of an item's weights are kept, the largest of either sign; all, if there are no more.",
        minimum=1,
        maximum=50_000,
        step=10,
        search=(100, 2000),
        log=True,
    )
    max_items: int = option(
        20_000,
        title="Most items",
        help="Refuse a larger catalogue: twice the items need four times the memory, eight times the time.",
        minimum=1,
        maximum=100_000,
        step=1000,
    )
    values: str = values_option()


class EASE(NeighbourModel):
    """Weights of `NeighbourModel`, below zero where having one item speaks against another."""

    name = "ease"
    title = "EASE (linear item model)"
    when_to_use = (
        "Often the most accurate for shops with many choices an item and at most a few thousand items."
    )
    Config = EASEConfig

    @property
    def settings(self) -> EASEConfig:
        return cast(EASEConfig, self.config)

    def _learn(self, matrix: sp.csr_matrix, progress: ProgressCallback) -> sp.csr_matrix:
        n = self.n_items_
        refused = self.too_large(self.settings, n)
        if refused:
            raise ValueError(refused)
        progress(Progress("fit", 0, 3, "Counting pairs of items"))
        gram = np.empty((n, n), np.float32, order="F")
        by_item = sp.csr_matrix(self.history_.T)
        for start in range(0, n, ROWS):
            stop = min(n, start + ROWS)
            gram[:, start:stop] = (by_item[start:stop] @ self.history_).toarray().T
        gram.flat[:: n + 1] += self.settings.regularization
        progress(Progress("fit", 1, 3, "Solving"))
        with BLAS.limit(limits=self.threads, user_api="blas"):
            inverse = inverted(gram)
        progress(Progress("fit", 2, 3, "Keeping the largest weights"))
        weights = self._largest(inverse)
        progress(Progress("fit", 3, 3, "Fitted"))
        return weights

    def _largest(self, inverse: Float32) -> sp.csr_matrix:
        """Keep each row's largest weights by size, then order them best first."""
        n, k = self.n_items_, min(self.settings.neighbours, self.n_items_)
        items, values = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        divisor = -np.diagonal(inverse).copy()
        for start in range(0, n, ROWS):
            stop = min(n, start + ROWS)
            block = inverse[:, start:stop].T / divisor  # symmetric: a column is a row, and lies together
            block[np.arange(stop - start), np.arange(start, stop)] = 0
            if k < n:
                chosen = np.sort(np.argpartition(-np.abs(block), k - 1, axis=1)[:, :k], axis=1)
            else:
                chosen = np.tile(np.arange(n), (stop - start, 1))
            weights = np.take_along_axis(block, chosen, axis=1)
            order = np.argsort(-weights, axis=1, kind="stable")
            items[start:stop] = np.take_along_axis(chosen, order, axis=1)
            values[start:stop] = np.take_along_axis(weights, order, axis=1)
        indptr = np.arange(0, n * k + 1, k, dtype=np.int32)
        return sp.csr_matrix((values.ravel(), items.ravel(), indptr), shape=(n, n))

    @classmethod
    def too_large(cls, config: Settings, n_items: int) -> str:
        most = cast(EASEConfig, config).max_items
        if n_items <= most:
            return ""
        return (
            f"EASE is set to at most {most:,} items and the data have {n_items:,}. Choose the item graph or "
            f"ALS, leave out items that few chose, or raise max_items if {4e-9 * n_items**2:.1f} GB are free."
        )

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(EASEConfig, config)
        kept = n_items * min(c.neighbours, n_items)
        block = 24 * min(ROWS, n_items) * n_items
        memory = 4 * n_items**2 + 8 * kept + block + 16 * n_interactions + 16 * (n_users + n_items)
        pairs = n_interactions * (n_interactions / max(n_users, 1)) * 3
        seconds = 0.05 + n_items**3 * 8e-12 + n_items**2 * 4e-8 + pairs * 4e-9
        return Estimate(memory_bytes=memory, seconds=seconds)


def inverted(gram: Float32) -> Float32:
    """Invert a positive definite (n, n) matrix, F-ordered, in its own memory, by its Cholesky factor.

    Raises ValueError when it is not positive definite in its own precision.
    """
    factorize, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, failed = factorize(gram, lower=True, overwrite_a=True, clean=False)
    if not failed:
        factor, failed = invert(factor, lower=True, overwrite_c=True)
    if failed:
        raise ValueError("EASE cannot solve for these data; raise the regularization.")
    for start in range(0, len(factor), ROWS):  # LAPACK fills one half: mirror it
        stop = min(len(factor), start + ROWS)
        factor[start:stop, stop:] = factor[stop:, start:stop].T
        square = np.tril(factor[start:stop, start:stop])
        factor[start:stop, start:stop] = square + np.tril(square, -1).T
    inverse: Float32 = factor
    return inverse
