"""Several splits of one set of interactions, so that a setting is judged more than once.

Rolling origin: Tashman 2000, "Out-of-sample tests of forecasting accuracy", International Journal of
Forecasting 16(4), 437-450. k random folds: Stone 1974, "Cross-validatory choice and assessment".
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from engine.interactions import Interactions
from engine.items import ItemFacts
from engine.splitting import Split, SplitConfig, make_split

LATEST = 0.4  # the part of the interactions that temporal folds are tested on, all together


def temporal_folds(
    interactions: Interactions, n: int, *, latest: float = LATEST, items: ItemFacts | None = None
) -> Iterator[Split]:
    """Yield n splits by date, earliest first: each trains on all before a window and tests on the window.

    The windows divide the latest share of the interactions into n parts of about equal size; what
    happened at one moment stays in one window. A fold is made when it is asked for.
    Raises ValueError when there are no times, or n and latest cannot be met, at once; when nobody can be
    tested in a window, once its turn comes.
    """
    _check(interactions, n)
    if interactions.times is None:
        raise ValueError("Folds by date need times and the file has none; choose random folds.")
    if not 0 < latest < 1:
        raise ValueError(f"the latest share must lie between 0 and 1, not {latest}")
    times = np.asarray(interactions.times)
    places = (len(times) * (1 - latest * np.arange(n, 0, -1) / n)).astype(np.int64)
    cuts = np.partition(times, places)[places].tolist()
    bounds = [*cuts, int(times.max()) + 1]
    if len(set(bounds)) <= n or cuts[0] == times.min():
        raise ValueError(
            f"Too many choices were made at one moment to cut the last {latest:.0%} into {n} windows; "
            "take fewer folds."
        )
    config = SplitConfig(method="temporal", test_share=float(np.clip(latest / n, 0.01, 0.5)))

    def make() -> Iterator[Split]:
        for at, (start, end) in enumerate(pairwise(bounds), 1):
            sentence = f"Fold {at} of {n}, by date: held out from {_day(start)} to {_day(end - 1)}."
            window = (times >= start) & (times < end)
            yield make_split(interactions, times < start, window, config, sentence, items)

    return make()


def random_folds(
    interactions: Interactions, n: int, *, seed: int = 0, items: ItemFacts | None = None
) -> Iterator[Split]:
    """Yield n splits at random (optimistic): every interaction is held out in exactly one of them.

    The folds' sizes differ by one at most. Raises ValueError when n cannot be met.
    """
    _check(interactions, n)
    fold_of = np.random.default_rng(seed).permutation(len(interactions)) % n
    config = SplitConfig(method="random", test_share=float(np.clip(1 / n, 0.01, 0.5)))

    def make() -> Iterator[Split]:
        for at in range(n):
            held_out = fold_of == at
            sentence = f"Fold {at + 1} of {n}, at random: held out {held_out.mean():.0%} (optimistic)."
            yield make_split(interactions, ~held_out, held_out, config, sentence, items)

    return make()


def _check(interactions: Interactions, n: int) -> None:
    if n < 2:
        raise ValueError(f"folds are two or more, not {n}; for one, use a split")
    if len(interactions) < 2 * n:
        raise ValueError(f"{len(interactions)} interactions are too few for {n} folds")


def _day(seconds: int) -> str:
    day = datetime.fromtimestamp(seconds, UTC)
    return f"{day.day} {day:%B %Y}"
