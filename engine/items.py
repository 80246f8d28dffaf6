"""What is known of each item beside its id: title, category and price, by position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.interactions import IdTable, Int32

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ItemFacts:
    """Facts of n items, in the order of the item id table.

    titles: n texts, "" = not known; category_names: the distinct categories; category_of: (n,) int32
    position in category_names, -1 = none; prices: (n,) float64, NaN = not known.
    """

    titles: IdTable
    category_names: IdTable
    category_of: Int32
    prices: Float64

    @classmethod
    def of(
        cls, titles: Sequence[str], categories: Sequence[str | None], prices: Sequence[float] | Float64
    ) -> Self:
        """Build from one entry an item; an empty category or None means none."""
        names = sorted({name for name in categories if name})
        position = {name: at for at, name in enumerate(names)}
        category_of = np.array([position[name] if name else -1 for name in categories], np.int32)
        return cls(IdTable.of(titles), IdTable.of(names), category_of, np.asarray(prices, np.float64))

    def __len__(self) -> int:
        return len(self.titles)

    def title(self, item: int) -> str:
        return self.titles[item]

    def category(self, item: int) -> str | None:
        at = int(self.category_of[item])
        return None if at < 0 else self.category_names[at]

    def price(self, item: int) -> float | None:
        value = float(self.prices[item])
        return None if np.isnan(value) else value
