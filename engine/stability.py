"""How much of their lists users keep from one model version to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.interactions import Float32, Int32
from engine.intervals import Interval, intervals
from engine.metrics import Flags, overlap
from engine.segments import LEAST

PERSISTENCE = 0.9  # of a reader who goes on to the next place: 86 % of the weight is on the first ten
AT_ONCE = 2048


@dataclass(frozen=True)
class Stability:
    """How alike two versions' lists are for one group of n users; None below the least number."""

    segment: str
    n: int
    overlap: Interval | None
    rank_biased: Interval | None

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row."""
        found = {"overlap": self.overlap, "rank_biased": self.rank_biased}
        numbers = {name: None if each is None else vars(each) for name, each in found.items()}
        return {"segment": self.segment, "n": self.n, **numbers}


def rank_biased_overlap(one: Int32, other: Int32, p: float = PERSISTENCE) -> Float32:
    """Compare two rankings of each user, the top weighing most: extrapolated RBO, (n,) float32.

    one, other: (n, k) and (n, m) int32, best first, -1 = none, only at the end; lengths may differ.
    p: persistence, between 0 and 1. Range 0 (nothing in common) to 1 (the same; also two empty lists);
    more is more stable. Source: Webber, Moffat & Zobel 2010, "A similarity measure for indefinite
    rankings", ACM TOIS 28(4), equation 32.
    """
    if len(one) != len(other):
        raise ValueError("rank-biased overlap compares two lists of the same users")
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, not {p}")
    found = [
        _overlaps(one[at : at + AT_ONCE], other[at : at + AT_ONCE], p) for at in range(0, len(one), AT_ONCE)
    ]
    return np.concatenate(found).astype(np.float32) if found else np.empty(0, np.float32)


def list_stability(
    one: Int32, other: Int32, segments: Mapping[str, Flags], k: int = 10, *, seed: int = 0
) -> list[Stability]:
    """Measure overlap@k and RBO of the k best, over all users and by segment, with 95 % intervals.

    segments: name -> (n,) bool, as `user_segments` gives them.
    """
    values = [overlap(one, other, k), rank_biased_overlap(one[:, :k], other[:, :k])]
    found = []
    for name, members in {"all": np.ones(len(one), bool), **segments}.items():
        n = int(members.sum())
        measured = intervals([each[members] for each in values], seed) if n >= LEAST else [None, None]
        found.append(Stability(name, n, *measured))
    return found


def _overlaps(one: Int32, other: Int32, p: float) -> Float32:
    rows, places, places_other = np.nonzero((one[:, :, None] == other[:, None, :]) & (one[:, :, None] >= 0))
    depth = max(one.shape[1], other.shape[1])
    shared = np.zeros((len(one), depth + 1))  # by depth d: how many items the two first d have in common
    np.add.at(shared, (rows, np.maximum(places, places_other) + 1), 1)
    shared = np.cumsum(shared, axis=1)
    lengths = np.sort([(one >= 0).sum(axis=1), (other >= 0).sum(axis=1)], axis=0)
    short, long = lengths[0][:, None], lengths[1][:, None]
    d = np.arange(1, depth + 1)
    at_short = np.take_along_axis(shared, short, axis=1)
    at_long = np.take_along_axis(shared, long, axis=1)
    agreed = shared[:, 1:] / d
    # Beyond its end the short list is taken to agree as it did at its end.
    agreed = agreed + (d > short) * at_short * (d - short) / (np.maximum(short, 1) * d)
    listed = (np.where(d <= long, agreed, 0) * p**d).sum(axis=1) * (1 - p) / p
    beyond = (at_long - at_short) / np.maximum(long, 1) + at_short / np.maximum(short, 1)
    result = listed + (beyond * p**long).ravel()
    return np.where(lengths[1] == 0, 1, result).astype(np.float32)
