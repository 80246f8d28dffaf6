"""How good ranked lists are, user by user. Definitions: Manning, Raghavan & Schütze 2008, chapter 8;
NDCG with binary gain and a log2 discount: Järvelin & Kekäläinen 2002.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.interactions import Float32, Int32
from engine.metric_meanings import METRICS

NAMES = ("ndcg", "recall", "precision", "f1", "map", "mrr", "hit_rate")
TITLES = {name: each.title for name, each in METRICS.items()}
DEFAULT_KS = (5, 10, 20)
Flags = npt.NDArray[np.bool_]


def find_hits(top: Int32, truth: sp.csr_matrix) -> Flags:
    """Mark which of the listed items each user really chose.

    top: (n, k) int32, -1 = none; truth: (n, n_items) CSR with sorted indices. Returns (n, k) bool.
    """
    n, n_items = truth.shape
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(truth.indptr))
    chosen = rows * n_items + truth.indices
    listed = np.arange(n, dtype=np.int64)[:, None] * n_items + top
    if len(chosen) == 0:
        return np.zeros(top.shape, bool)
    at = np.minimum(np.searchsorted(chosen, listed), len(chosen) - 1)
    found: Flags = (chosen[at] == listed) & (top >= 0)
    return found


def per_user_metrics(hits: Flags, n_relevant: Int32, ks: Sequence[int] = DEFAULT_KS) -> dict[str, Float32]:
    """Compute every metric at every k for each user, as {"ndcg@10": (n,) float32, …}.

    hits: (n, max(ks)) bool, best first; n_relevant: (n,) how many items each user really chose, ≥ 1.
    """
    depth = max(ks)
    if hits.shape[1] < depth:
        raise ValueError(f"lists are {hits.shape[1]} long; metrics at {depth} need {depth}")
    if len(n_relevant) and n_relevant.min() < 1:
        raise ValueError("every user needs at least one relevant item")
    place = np.arange(1, depth + 1)
    discount = 1 / np.log2(place + 1)
    ideal = np.concatenate([[0], np.cumsum(discount)])
    counted = np.cumsum(hits[:, :depth], axis=1)
    gains = np.cumsum(hits[:, :depth] * discount, axis=1)
    precisions = np.cumsum(hits[:, :depth] * counted / place, axis=1)
    first = np.where(counted[:, -1] > 0, hits[:, :depth].argmax(axis=1) + 1, depth + 1)
    found: dict[str, npt.NDArray[Any]] = {}
    for k in ks:
        reachable = np.minimum(n_relevant, k)
        found[f"ndcg@{k}"] = gains[:, k - 1] / ideal[reachable]
        found[f"recall@{k}"] = counted[:, k - 1] / n_relevant
        found[f"precision@{k}"] = counted[:, k - 1] / k
        found[f"f1@{k}"] = 2 * counted[:, k - 1] / (k + n_relevant)  # 2PR / (P + R), without its 0 / 0
        found[f"map@{k}"] = precisions[:, k - 1] / reachable
        found[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0)
        found[f"hit_rate@{k}"] = counted[:, k - 1] > 0
    return {name: values.astype(np.float32) for name, values in found.items()}


def coverage(top: Int32, n_items: int) -> float:
    """Share of the catalogue that appears in anybody's list."""
    return len(np.unique(top[top >= 0])) / n_items


def overlap(one: Int32, other: Int32, k: int) -> Float32:
    """Share of each user's k best that two models have in common, (n,) float32."""
    if len(one) != len(other):
        raise ValueError("overlap compares two lists of the same users")
    # Positions ≥ 0 occur once a list, so that an equal pair is a shared item; -1 is no item.
    shared = (one[:, :k, None] == other[:, None, :k]) & (one[:, :k, None] >= 0)
    return np.asarray(shared.sum(axis=(1, 2)) / k, np.float32)
