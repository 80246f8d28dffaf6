"""PureSVD: the few directions in which shoppers' choices differ most, and each history laid along them.

Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-N recommendation tasks",
section 3.2: what was never chosen counts as 0, and a shopper's factors are her row times the items' factors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, LinearOperator, svds

from engine.estimators.base import (
    BLAS,
    Arrays,
    Context,
    Estimate,
    Explanation,
    Progress,
    ProgressCallback,
    Recommendations,
    Settings,
    UserState,
    check_matrix,
    option,
)
from engine.estimators.factors import UNRELATED, FactorModel, most_alike, restored_array
from engine.interactions import Float32, Int32

Float64 = npt.NDArray[np.float64]

SMALL = 256  # up to this many rows or columns the dense solver is as fast, and never fails to converge
DENSE_MOST = 2048  # the shorter side up to which the dense solver can stand in: a quarter of a minute
TOLERANCE = 1e-6  # of the singular values; the vectors then are right to float32's last digits
NOTHING = 1e-6  # directions this much weaker than the first are rounding errors


# The default comes from NDCG@10 of 16 to 256 factors on validation splits inside the training parts of four
# sets (a generated shop, ml-latest-small, Amazon Beauty, Gowalla): it keeps 75 to 100 % of each set's best.
@dataclass(frozen=True)
class PureSVDConfig(Settings):
    factors: int = option(
        32,
        title="Factors",
        help="How many directions of taste are kept. Few favour best sellers, many favour niches.",
        minimum=1,
        maximum=1024,
        step=8,
        search=(8, 256),
        log=True,
    )
    values: str = option(
        "ignore",
        title="Values in the file",
        help="Ignore: every interaction is one yes. Use: a higher value is a stronger yes.",
        choices=(("ignore", "Ignore them"), ("use", "Use them as they are")),
    )


class PureSVD(FactorModel):
    """item_factors_: the right singular vectors, zero where the matrix has fewer directions than the config;
    user_factors_: the matrix times them; strengths_ (factors,): the singular values, largest first.
    """

    name = "pure_svd"
    title = "PureSVD"
    when_to_use = (
        "A quick and steady factor model with one setting that matters: good as a first comparison for ALS, "
        "and new shoppers get their lists without any solving."
    )
    Config = PureSVDConfig
    folds_in_from_history = True

    strengths_: Float32

    @property
    def settings(self) -> PureSVDConfig:
        return cast(PureSVDConfig, self.config)

    @property
    def width(self) -> int:
        return self.settings.factors

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        rows = self._weights(matrix)
        solve = strongest_few if min(matrix.shape) > max(SMALL, 2 * self.width) else strongest_of_all
        with BLAS.limit(limits=1, user_api="blas"):  # the order of additions, and so the bits, stays the same
            strengths, directions = solve(rows, self.width, self.seed, progress)
        self.strengths_ = np.zeros(self.width, np.float32)
        self.item_factors_ = np.zeros((self.n_items_, self.width), np.float32)
        kept = int(np.count_nonzero(strengths > NOTHING * strengths.max(initial=0)))
        self.strengths_[:kept] = strengths[:kept]
        largest = np.abs(directions[:kept]).argmax(axis=1)[:, None]
        signs = np.sign(np.take_along_axis(directions[:kept], largest, axis=1))
        self.item_factors_[:, :kept] = (directions[:kept] * signs).T
        self.user_factors_ = rows @ self.item_factors_
        progress(Progress("fit", 1, 1, "Fitted"))

    def _weights(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        if self.settings.values == "use":
            return matrix
        return sp.csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(PureSVDConfig, config)
        factors, shorter = c.factors, min(n_users, n_items)
        factor_bytes = 4 * factors * (n_users + n_items)
        if shorter <= max(SMALL, 2 * factors):
            solving = 8 * 3 * shorter**2 + 8 * n_interactions
            return Estimate(memory_bytes=factor_bytes + solving, seconds=0.05 + 20 * shorter**3 / 1e10)
        solving = 8 * (2 * factors + 1) * shorter + 24 * factors * max(n_users, n_items) + 12 * n_interactions
        products = 4 * factors * 4 * n_interactions  # about four steps a factor, two passes each
        seconds = 0.01 + products * 8e-10 + factors**2 * shorter * 1e-8
        return Estimate(memory_bytes=solving, seconds=seconds)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Lay users' interactions along the directions: a row times the items' factors."""
        self._check_width(rows)
        return UserState(self._weights(check_matrix(rows)) @ self.item_factors_)

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Compare items' columns, as far as the directions kept can tell them apart (cosine)."""
        columns = self.item_factors_ * self.strengths_
        return most_alike(columns, items, k, self.threads)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Split the score exactly: each item j of the history adds its weight times q_j · q_item."""
        weights = self._weights(history)
        parts = weights.data * (self.item_factors_[weights.indices] @ self.item_factors_[item])
        return Explanation(float(parts.sum()), weights.indices, parts, UNRELATED)

    def arrays(self) -> Arrays:
        return super().arrays() | {"strengths": self.strengths_}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self.strengths_ = restored_array(arrays, "strengths", (self.width,))


def strongest_few(
    rows: sp.csr_matrix, k: int, seed: int, progress: ProgressCallback
) -> tuple[Float64, Float64]:
    """Find the k largest singular values (k,) and right vectors (k, n_items) by Lanczos iteration.

    k must be less than both sides of the matrix. Where the iteration has no end, the dense solver stands in.
    Raises ValueError when the matrix is too large for that.
    """
    if not rows.data.any():
        return np.zeros(k), np.zeros((k, rows.shape[1]))
    steps = 0

    def counted(
        product: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    ) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
        def multiply(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            nonlocal steps
            steps += 1  # how many there will be is not known: the share shown only draws near to 1
            progress(Progress("fit", steps, steps + 4 * k, "Lanczos steps"))
            return product(x)

        return multiply

    exact = rows.astype(np.float64)
    operator = LinearOperator(
        rows.shape, matvec=counted(exact.dot), rmatvec=counted(exact.T.dot),
        matmat=exact.dot, rmatmat=exact.T.dot, dtype=np.float64,
    )  # fmt: skip
    start = np.random.default_rng(seed).standard_normal(min(rows.shape))
    try:
        _, strengths, directions = svds(operator, k, v0=start, tol=TOLERANCE, return_singular_vectors="vh")
    except ArpackError as error:
        if min(rows.shape) <= DENSE_MOST:
            return strongest_of_all(rows, k, seed, progress)
        raise ValueError(
            f"PureSVD finds no {k} directions in these data; choose fewer factors, or ALS."
        ) from error
    return strengths[::-1], directions[::-1]


def strongest_of_all(
    rows: sp.csr_matrix, k: int, seed: int, progress: ProgressCallback
) -> tuple[Float64, Float64]:
    """Find the same by a dense decomposition of the shorter side's Gram matrix, for any k."""
    progress(Progress("fit", 0, 1, "Decomposing"))
    exact = rows.astype(np.float64)
    by_items = rows.shape[1] <= rows.shape[0]
    gram = (exact.T @ exact if by_items else exact @ exact.T).toarray()
    squares, vectors = np.linalg.eigh(gram)
    strengths, vectors = np.sqrt(np.maximum(squares[::-1][:k], 0)), vectors[:, ::-1][:, :k]
    if by_items:
        return strengths, vectors.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return strengths, np.where(strengths[:, None] > 0, (exact.T @ vectors / strengths).T, 0)
