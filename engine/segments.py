"""Metrics by kind of shopper and by kind of item, where there is enough to say something.

For a kind of shopper, the metrics are averaged over these shoppers. For a kind of item only held-out
choices of that kind count as right, the lists stay as they are, and who has none is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from engine.beyond_accuracy import popularity_of, tail_items
from engine.evaluation import Evaluation
from engine.interactions import Int32
from engine.intervals import Interval, intervals
from engine.items import ItemFacts
from engine.metrics import Flags, find_hits, per_user_metrics
from engine.splitting import Split

LEAST = 30  # shoppers behind a mean that is shown
NEW, HEAVY = 5, 20  # choices in training: fewer than NEW is new, HEAVY or more is heavy
MOST_CATEGORIES = 50
SHOWN = ("ndcg", "recall", "precision", "hit_rate")


@dataclass(frozen=True)
class Segment:
    """One kind of shopper or item: n shoppers behind it, and its metrics, none where n is too small."""

    kind: Literal["shoppers", "items", "category"]
    name: str
    title: str
    n: int
    metrics: Mapping[str, Interval]

    @property
    def note(self) -> str:
        return "" if self.metrics else f"Not enough data: {self.n} shoppers, {LEAST} are needed."

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row."""
        metrics = {name: vars(each) for name, each in self.metrics.items()}
        named = {"kind": self.kind, "name": self.name, "title": self.title}
        return {**named, "n": self.n, "note": self.note, "metrics": metrics}


def user_segments(train: sp.csr_matrix, users: Int32) -> dict[str, Flags]:
    """Divide users by how many choices they have in training: new, light, heavy; (len(users),) bool each."""
    history = np.diff(train.indptr)[users]
    return {
        "new": history < NEW,
        "light": (history >= NEW) & (history < HEAVY),
        "heavy": history >= HEAVY,
    }


def item_segments(train: sp.csr_matrix) -> dict[str, Flags]:
    """Divide items by popularity, (n_items,) bool each: head holds 80 % of all choices, tail the rest."""
    tail = tail_items(popularity_of(train))
    return {"head": ~tail, "tail": tail}


def by_segment(found: Evaluation, split: Split, k: int = 10, *, seed: int = 0) -> list[Segment]:
    """Measure NDCG, recall, precision and hit rate at k by kind of shopper, of item and of category.

    found: what `evaluate` gave for the same split, with lists of k items or more. Categories come where
    the split knows them, the 50 with most held-out choices, in that order.
    """
    users = found.per_user.users
    names = [f"{name}@{k}" for name in SHOWN]
    titles = {
        "new": f"New shoppers (fewer than {NEW} choices)",
        "light": f"Light shoppers ({NEW} to {HEAVY - 1} choices)",
        "heavy": f"Heavy shoppers ({HEAVY} choices or more)",
        "head": "Best sellers (80 % of all choices)",
        "tail": "Long tail",
    }
    segments = []
    for name, members in user_segments(split.train, users).items():
        values = {metric: found.per_user.values[metric][members] for metric in names}
        segments.append(_segment("shoppers", name, titles[name], values, seed))
    test, top = split.test[users], found.top[:, :k]
    for name, items in item_segments(split.train).items():
        segments.append(_segment("items", name, titles[name], _restricted(top, test, items, k), seed))
    for name, items in _categories(split.context.items, split.test):
        segments.append(_segment("category", name, name, _restricted(top, test, items, k), seed))
    return segments


def _segment(
    kind: Literal["shoppers", "items", "category"],
    name: str,
    title: str,
    values: Mapping[str, np.ndarray],
    seed: int,
) -> Segment:
    n = len(next(iter(values.values())))
    measured = intervals(list(values.values()), seed) if n >= LEAST else []
    return Segment(kind, name, title, n, dict(zip(values, measured, strict=False)))


def _restricted(top: Int32, test: sp.csr_matrix, items: Flags, k: int) -> dict[str, np.ndarray]:
    """Compute metrics with only these items' held-out choices as right, for the users who have some."""
    kept = items[test.indices]
    counts = np.concatenate([[0], np.cumsum(kept)])[test.indptr]
    right = sp.csr_matrix((test.data[kept], test.indices[kept], counts), shape=test.shape)
    rows = np.flatnonzero(np.diff(counts))
    relevant = np.diff(counts)[rows].astype(np.int32)
    values = per_user_metrics(find_hits(top[rows], right[rows]), relevant, (k,))
    return {f"{name}@{k}": values[f"{name}@{k}"] for name in SHOWN}


def _categories(facts: ItemFacts | None, test: sp.csr_matrix) -> list[tuple[str, Flags]]:
    if facts is None:
        return []
    category = facts.category_of[test.indices]
    counts = np.bincount(category[category >= 0], minlength=len(facts.category_names))
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return [(facts.category_names[at], facts.category_of == at) for at in order.tolist() if counts[at]]
