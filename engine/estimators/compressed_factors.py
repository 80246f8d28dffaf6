"""A fitted model of factors in fewer bytes: it answers, keeps and folds in, but is never trained.

`engine.compression.compress` makes one. Scores come straight from the stored numbers. Whatever else a
model does (folding in, explaining, likeness) its own class does, on rows turned back into float32:
only those of the history where the class says that it reads no others.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

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
    ProgressCallback,
    Recommendations,
    Settings,
    UserState,
)
from engine.estimators.factors import FactorModel, restored_array
from engine.estimators.number_storage import STORAGES, decode, encode, score_all, score_pairs
from engine.interactions import Float32, Int32

OWN = ("user_factors", "user_scales", "item_factors", "item_scales", "user_cut", "item_cut")


class CompressedFactors(Estimator):
    """user_factors_ (n_users, r), item_factors_ (n_items, r): float32, float16 or int8, with their scales_.

    user_cut_, item_cut_ (width, r) float32: how a row of the model's own width becomes one of r numbers
    (see `engine.compression.cut_rank`); a row comes back by the other side's cut, transposed. None when
    the rank was not cut. rest_: the model's other arrays, as they were.
    """

    kind: ClassVar[type[FactorModel]]

    user_factors_: npt.NDArray[Any]
    user_scales_: Float32
    item_factors_: npt.NDArray[Any]
    item_scales_: Float32
    user_cut_: Float32 | None
    item_cut_: Float32 | None
    rest_: Arrays

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        raise ValueError(f"{self.title} is made from a fitted model, not trained")

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        """Give the cost of the model that it is made from."""
        return cls.kind.estimate(config, n_users, n_items, n_interactions)

    def user_state(self, users: Positions) -> UserState:
        return UserState(decode(self.user_factors_[users], _scales_of(self.user_scales_, users)))

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Fold in as the model's own class does, with the items' rows as they are stored."""
        history = np.unique(sp.csr_matrix(rows).indices)
        in_width = rows.shape[1] == self.n_items_  # its own class refuses other rows in words
        folded = self._own_model(history if in_width else history[:0]).fold_in(rows).rows
        return UserState(folded if self.user_cut_ is None else folded @ self.user_cut_)

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        return score_all(state.rows[start:stop], self.item_factors_, self.item_scales_)

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return score_pairs(state.rows, self.item_factors_[items], _scales_of(self.item_scales_, items))

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Compare as the model's own class does; all items are in float32 while it does."""
        return self._own_model(None)._similar_items(items, k)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Compare as the model's own class does; all users are in float32 while it does."""
        return self._own_model(None, with_users=True)._similar_users(users, k)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Explain as the model's own class does, with the items' rows as they are stored."""
        asked = np.append(history.indices, item)
        return self._own_model(np.unique(asked))._parts(history, item)

    def _own_model(self, items: Positions | None, *, with_users: bool = False) -> FactorModel:
        """Build the model's own class with the rows of these items, or of all, in its own width.

        The other rows are zeros that the system never makes real: no memory, no time.
        """
        width = self._width()
        if items is None or (len(items) and not self.kind.folds_in_from_history):
            factors = _widened(self.item_factors_, self.item_scales_, self.user_cut_)
        else:
            factors = np.zeros((self.n_items_, width), np.float32)
            stored = self.item_factors_[items], _scales_of(self.item_scales_, items)
            factors[items] = _widened(*stored, self.user_cut_)
        if with_users:
            users = _widened(self.user_factors_, self.user_scales_, self.item_cut_)
        else:
            users = np.broadcast_to(np.float32(0), (self.n_users_, width))
        return self.kind.from_arrays(
            self.config,
            {**self.rest_, "user_factors": users, "item_factors": factors},
            n_users=self.n_users_,
            n_items=self.n_items_,
            seed=self.seed,
            threads=self.threads,
        )

    def _width(self) -> int:
        return self.kind(self.config).width

    def arrays(self) -> Arrays:
        own = {
            "user_factors": self.user_factors_,
            "user_scales": self.user_scales_,
            "item_factors": self.item_factors_,
            "item_scales": self.item_scales_,
        }
        if self.user_cut_ is not None and self.item_cut_ is not None:
            own |= {"user_cut": self.user_cut_, "item_cut": self.item_cut_}
        return {**self.rest_, **own}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        width = rank = self._width()
        self.user_cut_ = self.item_cut_ = None
        if "user_cut" in arrays:
            rank = arrays["user_cut"].shape[-1]
            self.user_cut_ = restored_array(arrays, "user_cut", (width, rank))
            self.item_cut_ = restored_array(arrays, "item_cut", (width, rank))
        self.user_factors_, self.user_scales_ = _restored(arrays, "user", self.n_users_, rank)
        self.item_factors_, self.item_scales_ = _restored(arrays, "item", self.n_items_, rank)
        self.rest_ = {name: array for name, array in arrays.items() if name not in OWN}
        self._own_model(np.empty(0, np.int32))  # raises when the rest does not fit

    @classmethod
    def of(
        cls, model: FactorModel, storage: str, cuts: tuple[Float32, Float32] | None = None
    ) -> "CompressedFactors":
        """Store a fitted model's factors as `storage`; cuts: (width, r) of the users and of the items."""
        arrays = model.arrays()
        for at, side in enumerate(("user", "item")):
            rows = arrays[f"{side}_factors"] if cuts is None else arrays[f"{side}_factors"] @ cuts[at]
            arrays[f"{side}_factors"], arrays[f"{side}_scales"] = encode(rows, storage)
        if cuts is not None:
            arrays |= {"user_cut": cuts[0], "item_cut": cuts[1]}
        return cls.from_arrays(
            model.config,
            arrays,
            n_users=model.n_users_,
            n_items=model.n_items_,
            seed=model.seed,
            threads=model.threads,
        )


@cache
def compressed(kind: type[FactorModel]) -> type[CompressedFactors]:
    """Make the class of one algorithm's compressed models."""
    facts = {
        "kind": kind,
        "name": f"{kind.name}_compressed",
        "title": f"{kind.title}, compressed",
        "when_to_use": kind.when_to_use,
        "Config": kind.Config,
        "predicts_values": kind.predicts_values,
        "reads_values": kind.reads_values,
        "__doc__": CompressedFactors.__doc__,
    }
    return type(f"Compressed{kind.__name__}", (CompressedFactors,), facts)


def _restored(
    arrays: Mapping[str, npt.NDArray[Any]], side: str, n: int, rank: int
) -> tuple[npt.NDArray[Any], Float32]:
    codes = arrays[f"{side}_factors"]
    if codes.shape != (n, rank) or codes.dtype not in list(STORAGES.values()):
        raise ValueError(f"{side}_factors must be of shape {(n, rank)}, not {codes.dtype} {codes.shape}")
    return codes, restored_array(arrays, f"{side}_scales", (n if codes.dtype == np.int8 else 1,))


def _scales_of(scales: Float32, positions: Positions) -> Float32:
    return scales if len(scales) == 1 else scales[positions]


def _widened(codes: npt.NDArray[Any], scales: Float32, other_cut: Float32 | None) -> Float32:
    rows = decode(codes, scales)
    return rows if other_cut is None else rows @ other_cut.T
