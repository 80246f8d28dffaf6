"""What a row of events is worth: by its type and its age, and the sum of all that a shopper did to an item.

The sums are confidences as in Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback
datasets": how often and how clearly somebody chose. Models read them where their values are confidences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.interactions import Float32, Int32, Int64

Float64 = npt.NDArray[np.float64]

DAY_S = 86_400


@dataclass(frozen=True)
class EventWeights:
    """A row counts its value (1 without) × the weight of its event type × 2^(-age / half-life).

    by_type: weights by event type in small letters; None: every type weighs 1. half_life_days: None: age does
    not matter. Ages are counted from the newest time in the data, never the clock.
    """

    by_type: Mapping[str, float] | None = None
    half_life_days: float | None = None

    def __post_init__(self) -> None:
        if self.by_type is not None:
            wrong = [name for name, weight in self.by_type.items() if not (isfinite(weight) and weight >= 0)]
            if wrong:
                raise ValueError(f"the weight of {wrong[0]!r} must be a number of at least 0")
            if not any(self.by_type.values()):
                raise ValueError("one event type at least must have a weight above 0")
        if self.half_life_days is not None and not (
            isfinite(self.half_life_days) and self.half_life_days > 0
        ):
            raise ValueError("the half-life must be a number of days above 0")

    @property
    def text(self) -> str:
        """Say it in a line, the weightiest first: "purchase 5, view 1; half every 90 days"."""
        ordered = sorted((self.by_type or {}).items(), key=lambda kind: (-kind[1], kind[0]))
        kinds = ", ".join(f"{name} {weight:g}" for name, weight in ordered)
        age = f"half every {self.half_life_days:g} days" if self.half_life_days is not None else ""
        return "; ".join(part for part in (kinds, age) if part)

    @classmethod
    def read(cls, by_type: str | None, half_life_days: float | None) -> Self | None:
        """Read "view=1,cart=3,buy=5"; None when neither is given. Raises ValueError in words."""
        if by_type is None:
            return None if half_life_days is None else cls(None, half_life_days)
        weights: dict[str, float] = {}
        for part in by_type.split(","):
            name, _, weight = part.partition("=")
            try:
                weights[normalise_type(name)] = float(weight)
            except ValueError:
                raise ValueError(f"write event weights as view=1,cart=3; {part!r} is none") from None
        return cls(weights, half_life_days)


def normalise_type(name: str) -> str:
    """Reduce an event type to what is compared."""
    return name.strip().lower()


# What a type is worth until somebody says otherwise, by the first part of it that is found.
_SUGGESTED = (
    (("remov", "return", "refund", "cancel", "dislike", "impression"), 0.0),
    (("purchase", "buy", "bought", "order", "transaction", "checkout", "sale"), 5.0),
    (("cart", "basket", "add"), 3.0),
    (("wish", "favo", "like", "save", "share"), 2.0),
)


def suggest_weight(event_type: str) -> float:
    """Propose a weight by a type's name: a purchase 5, into the cart 3, a wish 2, taken back 0, others 1."""
    name = normalise_type(event_type)
    return next((weight for parts, weight in _SUGGESTED if any(part in name for part in parts)), 1.0)


def decay(times: Int64 | None, half_life_days: float | None) -> Float64:
    """Give what is left of each row by its age, (n,); an array of one 1 where age does not matter.

    Ages are counted from the newest time.
    """
    if half_life_days is None or times is None or not len(times):
        return np.ones(1)
    left: Float64 = np.exp2((times - times.max()) / (half_life_days * DAY_S))
    return left


def add_up(
    users: Int32, items: Int32, weights: Float32, times: Int64 | None, half_life_days: float | None = None
) -> tuple[Int32, Int32, Float32, Int64 | None]:
    """Sum what each pair of user and item weighs; a pair whose sum is not above zero drops out.

    users, items, weights, times: (n,), one a row. half_life_days: how much older than the newest row one must
    be to weigh half; needs times. Returns one entry a pair, by user, then item, with the pair's latest time.
    """
    amounts = weights.astype(np.float64)
    assert half_life_days is None or times is not None
    amounts *= decay(times, half_life_days)
    n_items = int(items.max(initial=0)) + 1
    pairs, place = np.unique(users.astype(np.int64) * n_items + items, return_inverse=True)
    sums = np.bincount(place, amounts, minlength=len(pairs)).astype(np.float32)
    kept = sums > 0
    latest = None
    if times is not None:
        latest = np.full(len(pairs), np.iinfo(np.int64).min)
        np.maximum.at(latest, place, times)
        latest = latest[kept]
    of, what = np.divmod(pairs[kept], n_items)
    return of.astype(np.int32), what.astype(np.int32), sums[kept], latest
