"""Who is served worse: groups of users by quality, sellers or categories by exposure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.evaluation import Evaluation
from engine.interactions import Int32
from engine.intervals import Interval, intervals
from engine.metrics import Flags
from engine.segments import LEAST, user_segments
from engine.splitting import Split

MOST_LABELS = 50  # sellers or categories that a summary lists; the gap is over all


@dataclass(frozen=True)
class UserGap:
    """Difference of a metric's mean between the best and the worst served of the groups, 0 or more.

    gap: with its 95 % interval; None when fewer than two groups have enough users. groups: each group's
    number of users and mean, None where there are too few. Less is fairer.
    """

    gap: Interval | None
    best: str | None
    worst: str | None
    groups: Mapping[str, tuple[int, Interval | None]]

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row."""
        groups = {
            name: {"n": n, "mean": None if each is None else vars(each)}
            for name, (n, each) in self.groups.items()
        }
        gap = None if self.gap is None else vars(self.gap)
        return {"gap": gap, "best": self.best, "worst": self.worst, "groups": groups}


@dataclass(frozen=True)
class Exposure:
    """One label's share of the catalogue and of the exposure that lists give, each 0 to 1."""

    label: str
    n_items: int
    catalogue_share: float
    exposure_share: float


@dataclass(frozen=True)
class SellerGap:
    """How far exposure is from the catalogue's shares: the part of it that would have to move.

    gap: 0 (each label is shown as much as it offers) to 1; None when nothing is listed. Less is fairer.
    """

    gap: float | None
    labels: Sequence[Exposure]

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row: the 50 with the largest share of the catalogue."""
        listed = [vars(each) for each in self.labels[:MOST_LABELS]]
        return {"gap": self.gap, "n_labels": len(self.labels), "labels": listed}


@dataclass(frozen=True)
class Gaps:
    """How evenly lists serve shoppers, sellers and categories; None where items have no such label.

    metric: the one that shoppers are compared by, between new, light and heavy ones.
    """

    metric: str
    shoppers: UserGap
    sellers: SellerGap | None
    categories: SellerGap | None

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row."""
        sellers, categories = (each and each.summary() for each in (self.sellers, self.categories))
        return {
            "metric": self.metric, "shoppers": self.shoppers.summary(), "sellers": sellers,
            "categories": categories,
        }  # fmt: skip


def measure_gaps(found: Evaluation, split: Split, k: int = 10) -> Gaps:
    """Measure the gaps of evaluated lists, cut at k, which `evaluate` was asked for, in milliseconds.

    found: what `evaluate` gave for the same split.
    """
    metric, facts, top = f"ndcg@{k}", split.context.items, found.top[:, :k]
    shoppers = user_group_gap(found.per_user.values[metric], user_segments(split.train, found.per_user.users))
    sellers = categories = None
    if facts is not None and facts.sellers is not None:
        sellers = seller_gap(top, facts.sellers.of, facts.sellers.names.to_list())
    if facts is not None and (facts.category_of >= 0).any():
        categories = seller_gap(top, facts.category_of, facts.category_names.to_list())
    return Gaps(metric, shoppers, sellers, categories)


def user_group_gap(values: npt.NDArray[Any], groups: Mapping[str, Flags]) -> UserGap:
    """Compare a metric, say NDCG@10, between groups of users.

    values: (n,), NaN = not defined; groups: name -> (n,) bool, as `user_segments` gives them; they must
    not share users. All intervals are normal ones, the gap's that of two independent means; with many
    groups, the widest gap is above 0 by chance too.
    Source: Ekstrand et al. 2018, "All the cool kids, how do they fit in?".
    """
    found: dict[str, tuple[int, Interval | None]] = {}
    for name, members in groups.items():
        inside = values[members]
        inside = inside[~np.isnan(inside)]
        found[name] = (len(inside), _mean(inside) if len(inside) >= LEAST else None)
    means = {name: each.value for name, (_, each) in found.items() if each is not None}
    if len(means) < 2:
        return UserGap(None, None, None, found)
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    spread = [values[groups[name]] for name in (best, worst)]
    error = np.sqrt(sum(np.nanvar(each, ddof=1) / np.isfinite(each).sum() for each in spread))
    gap = means[best] - means[worst]
    return UserGap(Interval(gap, float(gap - 1.96 * error), float(gap + 1.96 * error)), best, worst, found)


def _mean(values: npt.NDArray[Any]) -> Interval:
    return intervals([values], most_resampled=0)[0]


def seller_gap(top: Int32, label_of: Int32, names: Sequence[str]) -> SellerGap:
    """Compare the exposure that lists give each label with its share of the catalogue.

    top: (n, k) int32, best first, -1 = none; label_of: (n_items,) position in names, -1 = no label:
    such items are left out. A place's exposure falls with its depth as in NDCG. Largest share first.
    Source: Singh & Joachims 2018, "Fairness of exposure in rankings"; the gap is the total variation
    distance between the two shares.
    """
    rows, places = np.nonzero(top >= 0)
    labels = label_of[top[rows, places]]
    known = labels >= 0
    weight = 1 / np.log2(places[known] + 2)
    seen = np.bincount(labels[known], weight, minlength=len(names))
    stock = np.bincount(label_of[label_of >= 0], minlength=len(names))
    if seen.sum() == 0:
        return SellerGap(None, [])
    shown, offered = seen / seen.sum(), stock / stock.sum()
    order = np.argsort(-offered, kind="stable").tolist()
    listed = [Exposure(names[at], int(stock[at]), float(offered[at]), float(shown[at])) for at in order]
    return SellerGap(float(np.abs(shown - offered).sum() / 2), listed)
