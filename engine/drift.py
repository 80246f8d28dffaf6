"""Has the data changed since a model learned? Each measure with its size, what chance explains, a verdict.

A measure takes two periods or two versions, over the same items and users. Even from one unchanged shop
two samples differ, the smaller they are the more: so each measure is set against what chance alone gives
samples of this size, and says nothing below a least number of choices.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, rel_entr

from engine.interactions import IdTable, Int64, Interactions

Verdict = Literal["none", "some", "strong", "not enough data"]
LEAST = 200  # choices in the smaller of the two
BINS = 10
BEST = 100  # best sellers compared
SPLITS = 99  # random divisions of all choices: one in a hundred is as far by chance
CHANCE = 0.01


@dataclass(frozen=True)
class Drift:
    """One measure of change between two samples of n_before and n_after choices.

    effect: its size, 0 = no change; expected: what chance alone gives on average; chance: what it exceeds
    once in a hundred; all None below `least` choices. verdict: "none" unless the effect exceeds chance
    and the part beyond what is expected reaches the measure's limit for "some" or "strong".
    """

    name: str
    title: str
    effect: float | None
    expected: float | None
    chance: float | None
    verdict: Verdict
    n_before: int
    n_after: int
    least: int = LEAST

    @property
    def sentence(self) -> str:
        """Say it for a page."""
        if self.effect is None:
            n = min(self.n_before, self.n_after)
            return f"{self.title}: not enough data ({n:,} choices, {self.least:,} are needed)."
        words = {"none": "no change beyond chance", "some": "some change", "strong": "a strong change"}
        return f"{self.title}: {words[self.verdict]} ({self.effect:.3f}; by chance up to {self.chance:.3f})."

    def summary(self) -> dict[str, Any]:
        """Give plain values for a page or a database row."""
        return {**asdict(self), "sentence": self.sentence}


def value_shift(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Drift:
    """Compare two distributions of values, (n,) and (m,), by the population stability index.

    Range 0 (the same) upwards; 0.1 beyond what is expected is some change, 0.25 a strong one. Bins: the
    values themselves if ten or fewer, else the earlier values' tenths. Without change the index follows
    (1/n + 1/m) times a chi-squared of bins - 1 degrees of freedom.
    Source: Siddiqi 2006, "Credit risk scorecards"; Yurdakul 2018, "Statistical properties of population
    stability index".
    """
    n, m = len(before), len(after)
    if min(n, m) < LEAST:
        return _too_few("value_shift", "Values", n, m)
    distinct = np.unique(np.concatenate([before, after]))
    if len(distinct) > BINS:
        cuts = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
        bins = len(cuts) + 1
        places = [np.searchsorted(cuts, each, side="right") for each in (before, after)]
    else:
        bins = len(distinct)
        places = [np.searchsorted(distinct, each) for each in (before, after)]
    # Half a choice more a bin, so that an empty one does not make the index infinite.
    p, q = ((np.bincount(at, minlength=bins) + 0.5) / (len(at) + 0.5 * bins) for at in places)
    index = float(((p - q) * np.log(p / q)).sum())
    noise = 1 / n + 1 / m
    chance = float(chdtri(bins - 1, CHANCE)) * noise if bins > 1 else 0.0
    return _judge("value_shift", "Values", index, (bins - 1) * noise, chance, (0.1, 0.25), (n, m))


def popularity_shift(before: Int64, after: Int64, *, seed: int = 0) -> Drift:
    """Compare how choices are spread over items, by Jensen-Shannon divergence in bits.

    before, after: (n_items,) choices of each item. Range 0 (the same shares) to 1 (no item in common);
    beyond what is expected 0.05 is some change (about a tenth of all choices moved), 0.15 a strong one
    (more than a quarter). Source: Lin 1991, "Divergence measures based on the Shannon entropy".
    """
    return _against_chance(
        "popularity_shift", "Popularity of items", jensen_shannon, before, after, (0.05, 0.15), seed
    )


def best_seller_change(before: Int64, after: Int64, *, k: int = BEST, seed: int = 0) -> Drift:
    """Give the share of the k best sellers that is no longer among the k best: 1 - overlap@k.

    before, after: (n_items,) choices of each item. Range 0 (the same items) to 1 (none of them); beyond
    what is expected 0.2 is some change, 0.5 a strong one. Shops with few items compare a fifth of them.
    """
    k = max(1, min(k, len(before) // 5))

    def lost(one: Int64, other: Int64) -> float:
        return 1 - len(np.intersect1d(_best(one, k), _best(other, k), assume_unique=True)) / k

    return _against_chance("best_seller_change", "Best sellers", lost, before, after, (0.2, 0.5), seed)


def new_item_share(before: Int64, after: Int64, *, seed: int = 0) -> Drift:
    """Give the share of the later choices that went to items nobody chose before.

    before, after: (n_items,) choices of each item. Range 0 to 1; a model cannot have learned these items.
    Beyond what is expected 0.05 is some change, 0.2 a strong one.
    """
    return _against_chance("new_items", "Choices of new items", _share_new, before, after, (0.05, 0.2), seed)


def cold_user_share(before: Int64, after: Int64, *, seed: int = 0) -> Drift:
    """Give the share of the later period's users who had chosen nothing before.

    before, after: (n_users,) choices of each user. Range 0 to 1; beyond what is expected 0.1 is some
    change, 0.3 a strong one.
    """

    def cold(one: Int64, other: Int64) -> float:
        active = other > 0
        return float((one[active] == 0).mean()) if active.any() else 0.0

    return _against_chance("cold_users", "Shoppers without history", cold, before, after, (0.1, 0.3), seed)


def measure_drift(before: Interactions, after: Interactions, *, seed: int = 0) -> list[Drift]:
    """Measure all of the above between two periods or versions; ids are matched by their text."""
    items = _counts(before.item_ids, before.items, after.item_ids, after.items)
    users = _counts(before.user_ids, before.users, after.user_ids, after.users)
    return [
        value_shift(before.values, after.values),
        popularity_shift(*items, seed=seed),
        best_seller_change(*items, seed=seed),
        new_item_share(*items, seed=seed),
        cold_user_share(*users, seed=seed),
    ]


def jensen_shannon(before: Int64, after: Int64) -> float:
    """Jensen-Shannon divergence of two counts over the same things, in bits: 0 to 1."""
    p, q = before / max(before.sum(), 1), after / max(after.sum(), 1)
    middle = (p + q) / 2
    return float((rel_entr(p, middle) + rel_entr(q, middle)).sum() / (2 * np.log(2)))


def _against_chance(
    name: str,
    title: str,
    measure: Callable[[Int64, Int64], float],
    before: Int64,
    after: Int64,
    limits: tuple[float, float],
    seed: int,
) -> Drift:
    """Measure, and measure again with all choices dealt to the two at random (a permutation test)."""
    if len(before) != len(after):
        raise ValueError("both counts must be over the same items or users")
    n, m = int(before.sum()), int(after.sum())
    if min(n, m) < LEAST:
        return _too_few(name, title, n, m)
    kept = (before > 0) | (after > 0)
    before, after = np.asarray(before)[kept], np.asarray(after)[kept]
    rng = np.random.default_rng(seed)
    total = before + after
    dealt = []
    for _ in range(SPLITS):
        one = rng.binomial(total, n / (n + m))
        dealt.append(measure(one, total - one))
    expected, chance = float(np.mean(dealt)), float(np.max(dealt))
    return _judge(name, title, measure(before, after), expected, chance, limits, (n, m))


def _judge(
    name: str,
    title: str,
    effect: float,
    expected: float,
    chance: float,
    limits: tuple[float, float],
    sizes: tuple[int, int],
) -> Drift:
    beyond = effect - expected
    verdict: Verdict = "strong" if beyond >= limits[1] else "some" if beyond >= limits[0] else "none"
    return Drift(name, title, effect, expected, chance, verdict if effect > chance else "none", *sizes)


def _too_few(name: str, title: str, n: int, m: int) -> Drift:
    return Drift(name, title, None, None, None, "not enough data", n, m)


def _best(counts: Int64, k: int) -> Int64:
    return np.argsort(-counts, kind="stable")[:k]


def _share_new(before: Int64, after: Int64) -> float:
    return float(after[before == 0].sum() / max(after.sum(), 1))


def _counts(
    ids: IdTable, places: npt.NDArray[Any], later_ids: IdTable, later: npt.NDArray[Any]
) -> tuple[Int64, Int64]:
    """Count the choices of each thing before and after, over the ids of both."""
    if ids is later_ids:
        return np.bincount(places, minlength=len(ids)), np.bincount(later, minlength=len(ids))
    position = {name: at for at, name in enumerate(dict.fromkeys([*ids.to_list(), *later_ids.to_list()]))}
    moved = np.array([position[name] for name in later_ids.to_list()], np.int64)
    return (
        np.bincount(places, minlength=len(position)),
        np.bincount(moved[later], minlength=len(position)),
    )
