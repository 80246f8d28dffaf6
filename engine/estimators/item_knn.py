"""Item-kNN: recommend what is most often chosen together with what the shopper already has.

Deshpande & Karypis 2004, "Item-based top-N recommendation algorithms"; TF-IDF and BM25 weighting of
users as in Manning, Raghavan & Schütze, "Introduction to information retrieval", with items as
documents and users as terms; Pearson's correlation as in Sarwar, Karypis, Konstan & Riedl 2001, on values
less each item's mean, over the shoppers who gave both. Only the k nearest of each item are ever kept.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import Estimate, ProgressCallback, Settings, option, values_option
from engine.estimators.nearest import Formula, centred, correlated, nearest, norms, weigh
from engine.estimators.neighbours import NeighbourModel

WEIGHTINGS = (
    ("cosine", "Cosine"),
    ("jaccard", "Jaccard"),
    ("pearson", "Pearson"),
    ("tfidf", "TF-IDF"),
    ("bm25", "BM25"),
)


# Defaults from the same validation splits as those of ALS.
@dataclass(frozen=True)
class ItemKNNConfig(Settings):
    weighting: str = option(
        "tfidf",
        title="Weighting",
        help="Cosine and Jaccard count every shopper alike; TF-IDF and BM25 count shoppers who choose few "
        "items more. Pearson compares the values (stars) that the same shoppers gave.",
        choices=WEIGHTINGS,
    )
    neighbours: int = option(
        30,
        title="Neighbours",
        help="How many similar items are kept an item. More reach further and need more memory.",
        minimum=1,
        maximum=2000,
        step=10,
        search=(5, 500),
        log=True,
    )
    shrinkage: float = option(
        10.0,
        title="Shrinkage",
        help="As many shoppers who chose one item without the other are added: rare items come later.",
        minimum=0.0,
        maximum=1000.0,
        search=(0.5, 200.0),
        log=True,
    )
    values: str = values_option()


class ItemKNN(NeighbourModel):
    """Weights of `NeighbourModel` by likeness of the columns."""

    name = "item_knn"
    title = "Item neighbours"
    when_to_use = (
        "Good for small and middling shops and quick to train; every recommendation has an obvious reason."
    )
    Config = ItemKNNConfig

    @property
    def settings(self) -> ItemKNNConfig:
        return cast(ItemKNNConfig, self.config)

    def _learn(self, matrix: sp.csr_matrix, progress: ProgressCallback) -> sp.csr_matrix:
        c = self.settings
        if c.weighting == "pearson":
            by_item = centred(sp.csr_matrix(matrix.T))
            by_user = sp.csr_matrix(by_item.T)
            shrinkage = c.shrinkage * mean_square(by_item)
            return correlated(
                by_item, by_user, shrinkage, c.neighbours, threads=self.threads, progress=progress
            )
        by_user = weigh(self.history_, c.weighting)
        by_item = sp.csr_matrix(by_user.T)
        formula = likeness(by_item, by_item, c.weighting, c.shrinkage * mean_square(by_user))
        return nearest(by_item, by_user, formula, c.neighbours, threads=self.threads, progress=progress)

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        c = cast(ItemKNNConfig, config)
        pairs = n_interactions * (n_interactions / max(n_users, 1)) * 3  # long histories weigh more
        choosing = 1 + min(c.neighbours, n_items) / 150
        kept = n_items * min(c.neighbours, n_items)
        entries = 33 if c.weighting == "pearson" else 24  # bytes; Pearson also keeps which pairs there are
        memory = entries * n_interactions + 12 * kept + 16 * (n_users + n_items)
        return Estimate(memory_bytes=memory, seconds=0.04 + pairs * choosing * 2.2e-9)


def likeness(rows: sp.csr_matrix, candidates: sp.csr_matrix, weighting: str, shrinkage: float) -> Formula:
    """Choose the formula of a weighting for weighed rows and candidates, both by the same terms.

    Jaccard is that of sets for ones, and Tanimoto's x·y / (|x|² + |y|² - x·y) for confidences.
    """
    if weighting == "bm25":
        return Formula(
            np.ones(rows.shape[0], np.float32), np.ones(candidates.shape[0], np.float32), shrinkage
        )
    mine, theirs = norms(rows), norms(candidates)
    if weighting == "jaccard":
        return Formula(mine**2, theirs**2, shrinkage, is_union=True)
    return Formula(mine, theirs, shrinkage)


def mean_square(matrix: sp.csr_matrix) -> float:
    """Give what one entry adds to a product on average, the unit of shrinkage; 1 when there is none."""
    return float(np.mean(np.square(matrix.data), dtype=np.float64)) if matrix.nnz else 1.0
