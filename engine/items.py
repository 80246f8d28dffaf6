"""What is known of each item beside its id: title, category, price and seller, by position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.interactions import IdTable, Int32

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """One name an item, or none. names: the distinct ones; of: (n,) int32 position in names, -1 = none."""

    names: IdTable
    of: Int32

    @classmethod
    def read(cls, texts: Sequence[str | None]) -> Self:
        """Build from one entry an item; an empty one or None means none."""
        names = sorted({name for name in texts if name})
        position = {name: at for at, name in enumerate(names)}
        places = np.array([position[name] if name else -1 for name in texts], np.int32)
        return cls(IdTable.of(names), places)


@dataclass(frozen=True)
class ItemFacts:
    """Facts of n items, in the order of the item id table.

    titles: n texts, "" = not known; category_names: the distinct categories; category_of: (n,) int32
    position in category_names, -1 = none; prices: (n,) float64, NaN = not known; sellers: who sells each
    item, None where nobody said. Sellers are for judging lists: no model learns from them, none keeps them.
    """

    titles: IdTable
    category_names: IdTable
    category_of: Int32
    prices: Float64
    sellers: Labels | None = None

    @classmethod
    def of(
        cls,
        titles: Sequence[str],
        categories: Sequence[str | None],
        prices: Sequence[float] | Float64,
        sellers: Sequence[str | None] = (),
    ) -> Self:
        """Build from one entry an item; an empty category or seller, or None, means none."""
        found = Labels.read(categories)
        sold_by = Labels.read(sellers) if any(sellers) else None
        return cls(IdTable.of(titles), found.names, found.of, np.asarray(prices, np.float64), sold_by)

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

    def seller(self, item: int) -> str | None:
        if self.sellers is None or self.sellers.of[item] < 0:
            return None
        return self.sellers.names[int(self.sellers.of[item])]
