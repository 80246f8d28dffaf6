"""One artifact, ready for questions: ids to positions, histories, facts, filters and the popular items."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
import scipy.sparse as sp

from engine.artifacts import Artifact
from engine.interactions import Float32, Int32
from engine.serving.id_index import IdIndex
from engine.serving.requests import K_MAX, Filters

FACTS_KEPT = 100_000
FILTERS_KEPT = 16
SIMILAR_KEPT = 10_000


@dataclass(frozen=True)
class Facts:
    """What an answer says of an item; None where nothing is known."""

    item_id: str
    title: str | None
    category: str | None
    price: float | None


class ServedModel:
    """An artifact with the indexes that answering needs; everything here takes and gives positions."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.estimator = artifact.estimator
        self.algorithm = artifact.algorithm
        self.n_users, self.n_items = len(artifact.user_ids), len(artifact.item_ids)
        self.users, self.items = IdIndex(artifact.user_ids), IdIndex(artifact.item_ids)
        self.popular = artifact.fallback.items[0]
        self.popularity = artifact.fallback.scores[0]
        self._indptr, self._indices = artifact.seen.indptr, artifact.seen.indices
        self._values: Float32 | None = artifact.seen.data if artifact.has_values else None
        self._usual_value = (
            float(artifact.seen.data.mean()) if artifact.has_values and artifact.seen.nnz else 1.0
        )
        self.facts = lru_cache(FACTS_KEPT)(self._facts)
        self.filtered_out = lru_cache(FILTERS_KEPT)(self._filtered_out)
        self.similar = lru_cache(SIMILAR_KEPT)(self._similar)

    def history(self, user: int) -> Int32:
        """Give the items that a user already has."""
        owned: Int32 = self._indices[self._indptr[user] : self._indptr[user + 1]]
        return owned

    def row_of(self, items: Int32, user: int = -1) -> sp.csr_matrix:
        """Build the (1, n_items) row of a user (-1: unknown) who has these items; sorted, each once.

        Where the model reads values, what she had at the fit keeps its own. An item that she only looks at
        has none: it counts as what she has does on average, or, of somebody unknown, as everybody's. That
        is no opinion to a model of ratings or correlations, and one plain yes to a model of confidences.
        """
        ends = np.array([0, len(items)], np.int32)
        return sp.csr_matrix((self._values_of(items, user), items, ends), shape=(1, self.n_items))

    def _values_of(self, items: Int32, user: int) -> Float32:
        if self._values is None:
            return np.ones(len(items), np.float32)
        own = slice(self._indptr[user], self._indptr[user + 1]) if user >= 0 else slice(0)
        kept = self._values[own]
        values = np.full(len(items), kept.mean() if len(kept) else self._usual_value, np.float32)
        _, at, own_at = np.intersect1d(items, self._indices[own], assume_unique=True, return_indices=True)
        values[at] = kept[own_at]
        return values

    def most_popular(self, k: int, left_out: Int32) -> tuple[Int32, Float32]:
        """Pick the k items that most shoppers chose, without those left out; perhaps fewer."""
        first = min(len(self.popular), k + len(left_out))
        items, scores = self.popular[:first], self.popularity[:first]
        if len(left_out):
            is_left_out = np.zeros(self.n_items, bool)
            is_left_out[left_out] = True
            kept = np.flatnonzero(~is_left_out[items])[:k]
            return items[kept], scores[kept]
        return items[:k], scores[:k]

    def _similar(self, item: int) -> tuple[Int32, Float32]:
        found = self.estimator.similar_items(np.array([item], np.int32), min(K_MAX, self.n_items))
        kept = (found.items[0] >= 0) & np.isfinite(found.scores[0])
        return found.items[0][kept], found.scores[0][kept]

    def _facts(self, item: int) -> Facts:
        item_id, facts = self.artifact.item_ids[item], self.artifact.facts
        if facts is None:
            return Facts(item_id, None, None, None)
        price = facts.price(item)
        is_number = price is not None and isfinite(price)
        return Facts(item_id, facts.title(item) or None, facts.category(item), price if is_number else None)

    def _filtered_out(self, filters: Filters) -> Int32:
        """List the items that a filter leaves out: of another category, dearer, or of unknown price."""
        facts = self.artifact.facts
        if facts is None:
            return np.arange(self.n_items if filters != Filters() else 0, dtype=np.int32)
        shown = np.ones(self.n_items, bool)
        if filters.categories:
            wanted = [
                at for at, name in enumerate(facts.category_names.to_list()) if name in filters.categories
            ]
            shown &= np.isin(facts.category_of, wanted)
        if filters.price_max is not None:
            shown &= facts.prices <= filters.price_max  # NaN, an unknown price, compares as false
        return np.flatnonzero(~shown).astype(np.int32)


def join_positions(parts: Iterable[Int32]) -> Int32:
    """Put lists of positions together; a position may come twice."""
    kept = [part for part in parts if len(part)]
    if not kept:
        return np.empty(0, np.int32)
    return kept[0] if len(kept) == 1 else np.concatenate(kept)
