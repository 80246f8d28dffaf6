"""Item graph: walk from an item to a shopper who chose it and on to another item that she chose.

P3alpha: Cooper, Lee, Radinsky & Rosenfeld 2014, "Random walks in recommender systems: exact computation and
simulations"; RP3beta: Paudel, Christoffel, Newell & Bernstein 2017, "Updatable, accurate, diverse, and
scalable recommendations for interactive applications", which holds popular items back.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import Estimate, ProgressCallback, Settings, option, values_option
from engine.estimators.nearest import Formula, nearest
from engine.estimators.neighbours import NeighbourModel
from engine.estimators.sharpening import HOPS, sharpened
from engine.interactions import Float32


# No validation split chose these: see docs/reference/defaults.md, which has figures of three data sets.
@dataclass(frozen=True)
class ItemGraphConfig(Settings):
    alpha: float = option(
        1.0,
        title="Caution with busy shoppers",
        help="Power of the chance of each step. 1 is a plain walk; higher trusts shoppers with few choices "
        "and items with few shoppers more.",
        minimum=0.0,
        maximum=3.0,
        step=0.1,
        search=(0.4, 1.6),
        log=False,
    )
    beta: float = option(
        0.1,
        title="Brake on best sellers",
        help="How much popular items are held back: 0 not at all, 1 by their whole number of shoppers.",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
        search=(0.0, 0.8),
    )
    neighbours: int = option(
        500,
        title="Neighbours",
        help="How many items a walk from each item is remembered for. More reach further, need more memory.",
        minimum=1,
        maximum=5000,
        step=10,
        search=(50, 1000),
        log=True,
    )
    sharpness: float = option(
        0.0,
        title="Sharpness",
        help="How much of what an item's neighbours would say in any case is taken off. 0 is fast. "
        "Where shoppers chose much, 0.9 with a caution of 0.5 finds more; it trains a few times as long.",
        minimum=0.0,
        maximum=1.0,
        step=0.1,
        search=(0.0, 0.95),
    )
    values: str = values_option()


class ItemGraph(NeighbourModel):
    """Weights of `NeighbourModel`: the chance of a walk i to u to j, over the popularity of j ^ beta."""

    name = "item_graph"
    title = "Item graph"
    when_to_use = (
        "Often the most accurate on sparse data, trained in a second or two; try it beside ALS in any shop."
    )
    Config = ItemGraphConfig

    def _learn(self, matrix: sp.csr_matrix, progress: ProgressCallback) -> sp.csr_matrix:
        """P(i to u to j) = sum over u of (1 / shoppers of i)^alpha (1 / choices of u)^alpha.

        With confidences a step's chance is its share: (c_ui / sum of i's)^alpha (c_uj / sum of u's)^alpha.
        """
        c = cast(ItemGraphConfig, self.config)
        history, by_item = self.history_, sp.csr_matrix(self.history_.T)
        choices, shoppers = self._strengths(history), self._strengths(by_item)
        chances = (choices**-c.alpha)[by_item.indices]
        if self.keeps_values:
            chances *= by_item.data**c.alpha
            powers = history.data**c.alpha
            history = sp.csr_matrix((powers, history.indices, history.indptr), shape=history.shape)
        by_item.data = chances
        walk = Formula(shoppers**c.alpha, shoppers**c.beta)

        def walk_all(progress: ProgressCallback) -> sp.csr_matrix:
            return nearest(by_item, history, walk, c.neighbours, threads=self.threads, progress=progress)

        if c.sharpness == 0:
            return walk_all(progress)
        near = walk_all(lambda report: progress(replace(report, total=2 * report.total)))
        return sharpened(near, c.sharpness, threads=self.threads, progress=progress)

    def _strengths(self, rows: sp.csr_matrix) -> Float32:
        """Count the entries of each row, or add up their confidences; 1 where there are none."""
        if not self.keeps_values:
            return np.asarray(np.maximum(np.diff(rows.indptr), 1), np.float32)
        sums = np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel()
        return np.asarray(np.where(sums > 0, sums, 1), np.float32)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(ItemGraphConfig, config)
        pairs = n_interactions * (n_interactions / max(n_users, 1)) * 3  # long histories weigh more
        met = min(n_items, c.neighbours, pairs / n_items)
        room = n_items * min(c.neighbours, n_items)
        entries = 28 if c.values == "confidence" else 16  # bytes: by item, by shopper; powers of confidences
        memory = entries * n_interactions + 9 * room + 8 * met * n_items + 16 * (n_users + n_items)
        seconds = 0.03 + pairs * 2e-9 + met * n_items * 2e-8
        if c.sharpness > 0:
            seconds += n_items * met * (min(met, HOPS) * 5e-10 + 1e-7)
        return Estimate(memory_bytes=int(memory), seconds=seconds)
