"""Keep a fitted model up to date between two fits: new and returning shoppers, new items, and the drift.

An update solves for some rows while all else stays, as one half sweep of the fit would, from all the
interactions of those rows. `drift_from_retrain` measures how far that leads away from a fit on everything.
"""

from copy import copy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from engine.estimators.als import ALS
from engine.estimators.base import Estimator, Positions
from engine.estimators.factors import FactorModel
from engine.interactions import Float32
from engine.intervals import Interval, intervals
from engine.metrics import overlap

M = TypeVar("M", bound=FactorModel)
USERS_COMPARED, ITEMS_COMPARED, USERS_AT_ONCE = 2000, 500, 64


@dataclass(frozen=True)
class Drift:
    """How far an updated model is from one fitted on everything, over n_users shoppers.

    overlap: share of each shopper's k best that both have in common; correlation: Pearson's between the
    scores that both give a shopper's items. Both are means with 95 % intervals; 1 = no drift.
    """

    k: int
    overlap: Interval
    correlation: Interval
    n_users: int


def update_users(model: M, rows: sp.csr_matrix, users: Positions | None = None) -> M:
    """Give a copy of a model of factors that knows these shoppers from all their interactions.

    rows: (n, n_items), one a shopper; users: (n,) the positions that they have in the model; without it
    they are new and get the positions after the last. The items' factors are shared with the old model.
    Raises ValueError when a position is unknown or comes twice, TypeError for another kind of model.
    """
    if not isinstance(model, FactorModel):
        raise TypeError(f"{model.title} keeps no factors: fold_in of the shopper's row is all it needs.")
    factors = np.asarray(model.fold_in(rows).rows, np.float32)
    updated = copy(model)
    if users is None:
        updated.user_factors_ = np.concatenate([model.user_factors_, factors])
        updated.n_users_ = len(updated.user_factors_)
        return updated
    if len(users) != rows.shape[0] or len(np.unique(users)) != len(users):
        raise ValueError(f"{rows.shape[0]} rows need as many different users")
    if len(users) and not 0 <= np.min(users) <= np.max(users) < model.n_users_:
        raise ValueError(f"user positions go from 0 to {model.n_users_ - 1}")
    updated.user_factors_ = model.user_factors_.copy()
    updated.user_factors_[users] = factors
    return updated


def add_items(model: ALS, columns: sp.csr_matrix) -> ALS:
    """Give a copy of the model that has further items, solved from all their interactions.

    columns: (n_users, n), one a new item; new shoppers among them are added before, with `update_users`.
    Shoppers' factors stay: who chose a new item is brought up to date by `update_users` after.
    Raises TypeError for another kind of model: it has to be fitted again.
    """
    if not isinstance(model, ALS):
        raise TypeError(f"{model.title} takes no items between fits; fit it again.")
    return model.with_item_factors(model.fold_in_items(columns))


def drift_from_retrain(
    updated: Estimator,
    retrained: Estimator,
    matrix: sp.csr_matrix,
    users: Positions | None = None,
    *,
    k: int = 10,
    seed: int = 0,
) -> Drift:
    """Compare lists and scores of an updated model with those of one fitted on everything.

    matrix: (n_users, n_items) what each shopper has, left out of her lists; users: positions to compare,
    all by default. At most 2,000 of them and 500 items, drawn by `seed`, are scored.
    Raises ValueError when the models are not of the matrix's shape or there is no user.
    """
    for model in (updated, retrained):
        if (model.n_users_, model.n_items_) != matrix.shape:
            raise ValueError(f"a model of {model.n_users_} × {model.n_items_} for a matrix of {matrix.shape}")
    rng = np.random.default_rng(seed)
    asked = np.arange(matrix.shape[0]) if users is None else np.asarray(users)
    if not len(asked):
        raise ValueError("there is no user to compare")
    if len(asked) > USERS_COMPARED:
        asked = np.sort(rng.choice(asked, USERS_COMPARED, replace=False))
    seen = sp.csr_matrix(matrix[asked])
    ours, theirs = (model.recommend(asked, k, seen=seen).items for model in (updated, retrained))
    items = np.sort(rng.choice(matrix.shape[1], min(ITEMS_COMPARED, matrix.shape[1]), replace=False))
    correlation = np.concatenate([
        _correlate(*(_scores(model, asked[at : at + USERS_AT_ONCE], items) for model in (updated, retrained)))
        for at in range(0, len(asked), USERS_AT_ONCE)
    ])  # fmt: skip
    found = intervals([overlap(ours, theirs, k), correlation], seed)
    return Drift(k, found[0], found[1], len(asked))


def _scores(model: Estimator, users: Positions, items: Positions) -> Float32:
    pairs = np.repeat(users, len(items)), np.tile(items, len(users))
    return model.score(*pairs).reshape(len(users), len(items))


def _correlate(one: Float32, other: Float32) -> Float32:
    """Correlate row by row, (n,); a row that is constant in both is 1, in one 0."""
    a, b = (x - x.mean(axis=1, keepdims=True, dtype=np.float64) for x in (one, other))
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = lengths[0] * lengths[1]
    both_flat = (lengths[0] == 0) & (lengths[1] == 0)
    found = np.einsum("nk,nk->n", a, b) / np.where(product > 0, product, 1)
    return np.asarray(np.where(both_flat, 1, found), np.float32)
