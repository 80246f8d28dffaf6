"""Biased matrix factorization: predict the stars that a shopper would give.

A rating is the mean of all, what this shopper and this item lie above or below it, and the product of
their factors. Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems"; by
stochastic gradients as Funk 2006 did, or by alternating ridge problems with the penalty of each row scaled
by its length (Zhou, Wilkinson, Schreiber & Pan 2008).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
    Explanation,
    Positions,
    Progress,
    ProgressCallback,
    Settings,
    UserState,
    check_matrix,
    in_blocks,
    option,
)
from engine.estimators.biased_mf_kernel import settle, solve_rows, step_through
from engine.estimators.factors import FactorModel, restored_array
from engine.estimators.kernels import padded
from engine.estimators.strata import Block, divide
from engine.interactions import Float32

START = np.float32(0.05)  # spread of a factor before the first step: the best of .02, .05, .1 on validation
SETTLE = 4  # shoppers settle in a quarter of the epochs with steps four times as long
ROWS_AT_ONCE = 64


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
        search=(8, 200),
        log=True,
    )
    epochs: int = option(
        20,
        title="Epochs",
        help="How often all ratings are gone through.",
        minimum=1,
        maximum=500,
        step=5,
        search=(5, 80),
        log=True,
    )
    learning_rate: float = option(
        0.005,
        title="Learning rate",
        help="How far one rating moves the factors. Only for stochastic gradients.",
        minimum=1e-5,
        maximum=0.5,
        search=(0.001, 0.05),
    )
    regularization: float = option(
        0.05,
        title="Regularization",
        help="Holds factors and biases small. Raise it for small data.",
        minimum=1e-6,
        maximum=10.0,
        search=(0.005, 0.3),
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
    def reads_values(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return self.settings.factors + 2

    def _tastes(self, factors: Float32) -> Float32:
        return factors[:, :-2]

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        c = self.settings
        self.mean_ = np.array([matrix.data.mean(dtype=np.float64) if matrix.nnz else 0], np.float32)
        progress(Progress("fit", 0, c.epochs + 1, "Ratings"))

        def after(epoch: int, loss: float | None) -> None:
            progress(Progress("fit", epoch + 1, c.epochs + 1, f"Epoch {epoch + 1}", loss))

        learn = self._by_gradients if c.solver == "sgd" else self._by_ridges
        self.item_factors_ = learn(matrix, after)
        self.user_factors_ = self._fold(matrix)
        progress(Progress("fit", c.epochs + 1, c.epochs + 1, "Fitted"))

    def _by_gradients(self, matrix: sp.csr_matrix, after: Callable[[int, float | None], None]) -> Float32:
        """Learn the items by steps of gradients, blocks that share nothing at the same time."""
        c = self.settings
        d, (n_users, n_items) = c.factors, matrix.shape
        rng = np.random.default_rng(self.seed)
        users, items = (np.zeros((n, padded(d)), np.float32) for n in matrix.shape)
        for factors in (users, items):
            factors[:, :d] = _start(rng, len(factors), d)
        biases = np.zeros(n_users, np.float32), np.zeros(n_items, np.float32)
        rate, held = np.float32(c.learning_rate), np.float32(c.regularization)

        def step(block: Block) -> float:
            squares: float = step_through(
                block.first, block.last, block.indptr, block.indices, block.values,
                users, biases[0], items, biases[1], self.mean_[0], rate, held,
            )  # fmt: skip
            return squares

        rounds = divide(matrix, self.seed)
        with ThreadPoolExecutor(self.threads) as pool:
            at_once = pool.map if self.threads > 1 else map
            for epoch in range(c.epochs):
                errors = [sum(at_once(step, blocks)) for blocks in rounds]
                after(epoch, sum(errors) / max(matrix.nnz, 1))
        return np.column_stack([items[:, :d], np.ones(n_items, np.float32), biases[1]])

    def _by_ridges(self, matrix: sp.csr_matrix, after: Callable[[int, float | None], None]) -> Float32:
        """Learn the items by solving all shoppers' problems, then all items', in turn."""
        c = self.settings
        d, rng = c.factors, np.random.default_rng(self.seed)
        users, items = (_start(rng, n, self.width) for n in matrix.shape)
        users[:, d], users[:, d + 1] = self.mean_[0], 1
        items[:, d], items[:, d + 1] = 1, 0
        columns = sp.csr_matrix(matrix.T)
        for epoch in range(c.epochs):
            self._solve(matrix, users, items, own_bias=d, base=self.mean_[0])
            self._solve(columns, items, users, own_bias=d + 1, base=np.float32(0))
            after(epoch, None)
        return items

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

        def work(start: int, stop: int) -> None:
            settle(
                start, stop, rows.indptr, rows.indices, rows.data, users, self.item_factors_,
                self.mean_[0], rate, held, epochs,
            )  # fmt: skip

        in_blocks(work, len(users), ROWS_AT_ONCE, self.threads)
        return users

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(BiasedMFConfig, config)
        width = c.factors + 2
        if c.solver == "als":
            work = c.epochs * (2 * n_interactions * width**2 / 2e9 + (n_users + n_items) * width**3 / 6e9)
            return Estimate(4 * width * (n_users + n_items) + 10 * n_interactions, 0.05 + work)
        blocks = max(14 * n_interactions, 9 * n_interactions + 4 * width * n_items)
        memory = 4 * padded(c.factors) * (n_users + n_items) + blocks
        seconds = 0.01 + c.epochs * n_interactions * (6 + 0.22 * width) * 1e-9
        return Estimate(memory, seconds)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Learn users' factors from their ratings alone, as the end of `fit` does."""
        self._check_width(rows)
        return UserState(self._fold(check_matrix(rows)))

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Say by how much the prediction would fall without each rating; it starts from the mean.

        Of a history longer than LEFT_OUT only that many ratings are tried, the likeliest.
        """
        if not history.nnz:
            return self._losses(history, item, "Without ratings, the item's own mean is all there is.")
        tried = self._likely_causes(history, item) if history.nnz > LEFT_OUT else None
        return self._losses(history, item, "No single rating raises this prediction.", tried)

    def _likely_causes(self, history: sp.csr_matrix, item: int) -> Positions:
        """Pick the ratings without which this shopper's ridge problem would predict least.

        Without row j its prediction at x falls by xᵀ A⁻¹ x_j · e_j / (1 - h_j), e_j the error there and h_j
        the leverage: Cook & Weisberg 1982, "Residuals and influence in regression".
        """
        own = self.width - 1  # factors and 1: what her row is multiplied with, but for the item's bias
        rows = self.item_factors_[history.indices].astype(np.float64)
        x, wanted = rows[:, :own], history.data - self.mean_[0] - rows[:, own]
        held = self.settings.regularization * history.nnz
        solved = np.linalg.solve(x.T @ x + held * np.eye(own), x.T)
        errors = wanted - x @ (solved @ wanted)
        falls = (self.item_factors_[item, :own] @ solved) * errors / (1 - (x * solved.T).sum(axis=1))
        return np.argsort(-falls, kind="stable")[:LEFT_OUT]

    def arrays(self) -> Arrays:
        return super().arrays() | {"mean": self.mean_}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self.mean_ = restored_array(arrays, "mean", (1,))


def _start(rng: np.random.Generator, n: int, width: int) -> Float32:
    """Draw factors of mean 0 and spread START, evenly distributed: half the time of normal ones."""
    drawn = rng.random((n, width), dtype=np.float32)
    drawn -= np.float32(0.5)
    drawn *= START * np.float32(12**0.5)
    return drawn
