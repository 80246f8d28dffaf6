"""Metrics by kind of shopper and by kind of item, where there is enough to say something.

For a kind of shopper, the metrics are averaged over these shoppers. For a kind of item only held-out
choices of that kind count as right, the lists stay as they are, and who has none is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.beyond_accuracy import popularity_of, tail_items
from engine.evaluation import Evaluation
from engine.interactions import Int32, Int64
from engine.intervals import Float64, Interval, intervals
from engine.items import ItemFacts
from engine.metrics import Flags, find_hits
from engine.splitting import Split

LEAST = 30  # shoppers behind a mean that is shown
NEW, HEAVY = 5, 20  # choices in training: fewer than NEW is new, HEAVY or more is heavy
MOST_CATEGORIES = 50
TITLES = {
    "new": f"New shoppers (fewer than {NEW} choices)",
    "light": f"Light shoppers ({NEW} to {HEAVY - 1} choices)",
    "heavy": f"Heavy shoppers ({HEAVY} choices or more)",
    "head": "Best sellers (80 % of all choices)",
    "tail": "Long tail",
}
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
        return "" if self.metrics else f"Too few shoppers: {self.n}, {LEAST} are needed."

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


def by_segment(found: Evaluation, split: Split, k: int = 10) -> list[Segment]:
    """Measure NDCG, recall, precision and hit rate at k by kind of shopper, of item and of category.

    found: what `evaluate` gave for the same split, with lists of k items or more. Categories come where
    the split knows them, the 50 with most held-out choices, in that order.
    The 95 % intervals are the normal ones: to resample each segment takes longer than the evaluation.
    """
    users = found.per_user.users
    names = [f"{name}@{k}" for name in SHOWN]
    segments = []
    for name, members in user_segments(split.train, users).items():
        values = {metric: found.per_user.values[metric][members] for metric in names}
        segments.append(_segment("shoppers", name, TITLES[name], values))
    lists = _Lists.of(found.top[:, :k], split.test[users])
    for name, items in item_segments(split.train).items():
        segments.append(_segment("items", name, TITLES[name], lists.measure(items)))
    for name, items in _categories(split.context.items, split.test):
        segments.append(_segment("category", name, name, lists.measure(items)))
    return segments


@dataclass(frozen=True)
class _Lists:
    """Held-out choices and those found, entry by entry, so that each kind of item costs little.

    chosen_by, chosen: user and item of each held-out choice; found_by, found, gains: user, item and
    discount by rank of each that is in the user's list of k; users: how many there are.
    """

    chosen_by: Int64
    chosen: Int32
    found_by: Int64
    found: Int32
    gains: Float64
    users: int
    k: int

    @classmethod
    def of(cls, top: Int32, test: sp.csr_matrix) -> Self:
        rows, places = np.nonzero(find_hits(top, test))
        owners = np.repeat(np.arange(len(top)), np.diff(test.indptr))
        return cls(owners, test.indices, rows, top[rows, places], 1 / np.log2(places + 2), *top.shape)

    def measure(self, items: Flags) -> dict[str, Float64]:
        """Compute metrics with only these items as right, for the users who held some out."""
        relevant = np.bincount(self.chosen_by[items[self.chosen]], minlength=self.users)
        mine, rows = items[self.found], np.flatnonzero(relevant)
        count = np.bincount(self.found_by[mine], minlength=self.users)[rows]
        gain = np.bincount(self.found_by[mine], self.gains[mine], minlength=self.users)[rows]
        relevant = relevant[rows]
        ideal = np.cumsum(1 / np.log2(np.arange(self.k) + 2))
        values = {
            "ndcg": gain / ideal[np.minimum(relevant, self.k) - 1],
            "recall": count / relevant,
            "precision": count / self.k,
            "hit_rate": (count > 0).astype(np.float64),
        }
        return {f"{name}@{self.k}": values[name] for name in SHOWN}


def _segment(
    kind: Literal["shoppers", "items", "category"],
    name: str,
    title: str,
    values: Mapping[str, npt.NDArray[Any]],
) -> Segment:
    n = len(next(iter(values.values())))
    if n < LEAST:
        return Segment(kind, name, title, n, {})
    measured = intervals(list(values.values()), most_resampled=0)
    return Segment(kind, name, title, n, dict(zip(values, map(_as_share, measured), strict=True)))


def _as_share(found: Interval) -> Interval:
    """Cut an interval where a metric ends, at 0 and 1: the normal one knows of no ends."""
    assert found.low is not None
    assert found.high is not None
    return Interval(found.value, max(found.low, 0.0), min(found.high, 1.0))


def _categories(facts: ItemFacts | None, test: sp.csr_matrix) -> list[tuple[str, Flags]]:
    if facts is None:
        return []
    category = facts.category_of[test.indices]
    counts = np.bincount(category[category >= 0], minlength=len(facts.category_names))
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return [(facts.category_names[at], facts.category_of == at) for at in order.tolist() if counts[at]]
