"""Recent popularity: what shoppers choose lately counts more than what they chose long ago.

The newest time in the data is "now", never the clock, so that a fit gives the same model on any day.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import Context, Estimate, Progress, ProgressCallback, Settings, option
from engine.estimators.popularity import Popularity

DAY_S = 86_400


@dataclass(frozen=True)
class PopularityRecentConfig(Settings):
    half_life_days: float = option(
        30.0,
        title="Half-life in days",
        help="After so many days a choice counts half, after twice as many a quarter.",
        minimum=0.1,
        maximum=3650.0,
        search=(1.0, 365.0),
    )


class PopularityRecent(Popularity):
    """popularity_: (n_items,) float32, the sum of 0.5 ^ (age / half-life) of each item's choices."""

    name = "popularity_recent"
    title = "Popular lately"
    when_to_use = "For seasons and fashions: everyone gets what sells now. The file needs times."
    Config = PopularityRecentConfig
    needs = frozenset({"times"})

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        progress(Progress("fit", 0, 1, "Counting recent choices"))
        assert context.times is not None
        half_life_s = cast(PopularityRecentConfig, self.config).half_life_days * DAY_S
        newest = context.times.max() if len(context.times) else 0
        weights = np.exp2((context.times - newest) / half_life_s)
        counts = np.bincount(matrix.indices, weights, minlength=self.n_items_)
        self.popularity_ = counts.astype(np.float32)
        progress(Progress("fit", 1, 1, "Counted"))

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        return Estimate(
            memory_bytes=12 * n_items + 16 * n_interactions, seconds=0.003 + 2e-8 * n_interactions
        )
