"""Biased matrix factorization: predict the stars that a shopper would give.

A rating is the mean of all, what this shopper and this item lie above or below it, and the product of
their factors. Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems"; by
stochastic gradients as Funk 2006 did, or by alternating ridge problems with the penalty of each row scaled
by its length (Zhou, Wilkinson, Schreiber & Pan 2008).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

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
    in_blocks,
    option,
)
from engine.estimators.biased_mf_kernel import solve_rows, step_through
from engine.estimators.factors import FactorModel, restored_array
from engine.interactions import Float32

START = 0.1  # spread of a factor before the first step
SETTLE = 4  # shoppers settle in a quarter of the epochs with steps four times as long
ROWS_AT_ONCE = 256


# The regularization is the best of .02, .05 and .1 for either solver by RMSE on a validation split inside
# the training part of ml-latest-small.
@dataclass(frozen=True)
class BiasedMFConfig(Settings):
    solver: str = option(
        "sgd",
        title="Solver",
        help="Gradient steps are faster; alternating ridge problems need fewer epochs.",
        choices=(("sgd", "Stochastic gradients"), ("als", "Alternating ridge problems")),
    )
    factors: int = option(
        64,
        title="Factors",
        help="How many numbers describe a shopper or an item. More catch finer tastes and need more data.",
        minimum=1,
        maximum=512,
        step=8,
    )
    epochs: int = option(
        20,
        title="Epochs",
        help="How often all ratings are gone through.",
        minimum=1,
        maximum=500,
        step=5,
    )
    learning_rate: float = option(
        0.005,
        title="Learning rate",
        help="How far one rating moves the factors. Only for stochastic gradients.",
        minimum=1e-5,
        maximum=0.5,
    )
    regularization: float = option(
        0.05,
        title="Regularization",
        help="Holds factors and biases small. Raise it for small data.",
        minimum=1e-6,
        maximum=10.0,
    )


class BiasedMF(FactorModel):
    """item_factors_: factors, then 1, then the item's bias; user_factors_: factors, then the mean with the
    shopper's bias, then 1; mean_: (1,) float32, the mean of all ratings.
    """

    name = "biased_mf"
    title = "Biased matrix factorization (ratings)"
    when_to_use = (
        "For stars that people gave: predicts a shopper's rating of an item. Its lists put first what she "
        "would rate highest, be it little known; for what she will choose next, ALS is mostly stronger."
    )
    Config = BiasedMFConfig
    predicts_values = True
    family = "factors"

    mean_: Float32

    @property
    def settings(self) -> BiasedMFConfig:
        return cast(BiasedMFConfig, self.config)

    @property
    def width(self) -> int:
        return self.settings.factors + 2

    def _tastes(self, factors: Float32) -> Float32:
        return factors[:, :-2]

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        c = self.settings
        d = c.factors
        rng = np.random.default_rng(self.seed)
        self.mean_ = np.array([matrix.data.mean(dtype=np.float64) if matrix.nnz else 0], np.float32)
        users = rng.standard_normal((self.n_users_, self.width), dtype=np.float32) * np.float32(START)
        items = rng.standard_normal((self.n_items_, self.width), dtype=np.float32) * np.float32(START)
        users[:, d], users[:, d + 1] = self.mean_[0], 1
        items[:, d], items[:, d + 1] = 1, 0
        self.item_factors_ = items
        columns = sp.csr_matrix(matrix.T) if c.solver == "als" else None
        progress(Progress("fit", 0, c.epochs + 1, "Ratings"))
        for epoch in range(c.epochs):
            if columns is None:
                error = step_through(
                    matrix.indptr, matrix.indices, matrix.data, users, items, self.mean_[0],
                    np.float32(c.learning_rate), np.float32(c.regularization), True,
                ) / max(matrix.nnz, 1)  # fmt: skip
            else:
                self._solve(matrix, users, items, own_bias=d, base=self.mean_[0])
                self._solve(columns, items, users, own_bias=d + 1, base=np.float32(0))
                error = np.nan
            loss = None if np.isnan(error) else float(error)
            progress(Progress("fit", epoch + 1, c.epochs + 1, f"Epoch {epoch + 1}", loss))
        self.user_factors_ = self._fold(matrix)
        progress(Progress("fit", c.epochs + 1, c.epochs + 1, "Fitted"))

    def _solve(
        self, rows: sp.csr_matrix, own: Float32, other: Float32, *, own_bias: int, base: np.float32
    ) -> None:
        """Solve each row's ridge problem, the other side fixed."""

        def work(start: int, stop: int) -> None:
            solve_rows(
                start, stop, rows.indptr, rows.indices, rows.data, own, other, own_bias, base,
                np.float32(self.settings.regularization),
            )  # fmt: skip

        in_blocks(work, len(own), ROWS_AT_ONCE, self.threads)

    def _fold(self, rows: sp.csr_matrix) -> Float32:
        """Learn shoppers from their ratings alone, the items settled, as the end of `fit` does."""
        c = self.settings
        users = np.zeros((rows.shape[0], self.width), np.float32)
        users[:, c.factors], users[:, c.factors + 1] = self.mean_[0], 1
        if c.solver == "als":
            self._solve(rows, users, self.item_factors_, own_bias=c.factors, base=self.mean_[0])
            return users
        epochs = max(1, c.epochs // SETTLE)
        rate, held = np.float32(c.learning_rate * c.epochs / epochs), np.float32(c.regularization)

        def settle(start: int, stop: int) -> None:
            for _ in range(epochs):
                step_through(
                    rows.indptr[start : stop + 1], rows.indices, rows.data, users[start:stop],
                    self.item_factors_, self.mean_[0], rate, held, False,
                )  # fmt: skip

        in_blocks(settle, len(users), ROWS_AT_ONCE, self.threads)
        return users

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(BiasedMFConfig, config)
        width = c.factors + 2
        memory = 4 * width * (2 * n_users + n_items)
        if c.solver == "als":
            work = c.epochs * (2 * n_interactions * width**2 / 2e9 + (n_users + n_items) * width**3 / 6e9)
            return Estimate(memory + 12 * n_interactions, 0.05 + work)
        return Estimate(memory, 0.02 + 1.2 * c.epochs * n_interactions * (10 + 0.4 * width) * 1e-9)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Learn users' factors from their ratings alone, as the end of `fit` does."""
        self._check_width(rows)
        return UserState(self._fold(check_matrix(rows)))

    def explain(self, row: sp.csr_matrix, item: int, k: int = 5) -> Explanation:
        """Say by how much the prediction would fall without each rating of the history.

        These parts are exact, one by one; they do not add up to the score, which starts from the mean.
        """
        history = check_matrix(row)
        n = history.nnz
        score = float(self.score(self.fold_in(history), np.array([item]))[0])
        if n == 0:
            none = np.empty(0, np.int32), np.empty(0, np.float32)
            return Explanation(score, *none, "Without ratings, the item's own mean is all there is.")
        kept = ~np.eye(n, dtype=bool)
        indices, values = (np.broadcast_to(each, (n, n))[kept] for each in (history.indices, history.data))
        without = sp.csr_matrix((values, indices, np.arange(n + 1) * (n - 1)), shape=(n, self.n_items_))
        left = self.score(self.fold_in(without), np.full(n, item, np.int32))
        parts = np.float32(score) - left
        order = np.argsort(-parts, kind="stable")[:k]
        order = order[parts[order] > 0]
        note = "" if len(order) else "No single rating raises this prediction."
        return Explanation(score, history.indices[order], parts[order].astype(np.float32), note)

    def arrays(self) -> Arrays:
        return super().arrays() | {"mean": self.mean_}

    def _restore(self, arrays: Mapping[str, npt.NDArray]) -> None:
        super()._restore(arrays)
        self.mean_ = restored_array(arrays, "mean", (1,))
