"""Hold out interactions for testing, so that a model is judged on what it has not seen."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.base import NO_CONTEXT, Context
from engine.interactions import Interactions
from engine.items import ItemFacts
from engine.parameters import Settings, option

Flags = npt.NDArray[np.bool_]

ENOUGH_USERS = 200  # test users with history that make a temporal split worth reading
METHODS = (
    ("temporal", "By date: train on what came before, test on what came after"),
    ("leave_last", "Each shopper's last choices"),
    ("random", "At random (optimistic)"),
)


@dataclass(frozen=True)
class SplitConfig(Settings):
    method: str = option(
        "temporal",
        title="Split",
        help="By date is the fairest: the model never sees the future. Random flatters every model.",
        choices=METHODS,
    )
    test_share: float = option(
        0.2,
        title="Share held out",
        help="The part of the interactions kept for testing, by date or at random.",
        minimum=0.01,
        maximum=0.5,
        step=0.01,
    )
    last_n: int = option(
        5,
        title="Last choices held out",
        help="How many of each shopper's last choices are kept for testing; who has no more is not tested.",
        minimum=1,
        maximum=50,
        step=1,
    )


@dataclass(frozen=True)
class Split:
    """Train and test, both (n_users, n_items) CSR over the same positions.

    Every user with a row in `test` has history in `train`; `note` says what was held out, for a page.
    context: what `fit` may know beside `train`.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    config: SplitConfig
    note: str
    n_test_users: int
    n_test_interactions: int
    n_test_users_without_history: int
    context: Context = NO_CONTEXT


def split(
    interactions: Interactions, config: SplitConfig, seed: int = 0, items: ItemFacts | None = None
) -> Split:
    """Divide interactions into train and test; raise ValueError when nothing is left to test on."""
    held_out, sentence = _hold_out(interactions, config, seed)
    return make_split(interactions, ~held_out, held_out, config, sentence, items)


def training_part(interactions: Interactions, config: SplitConfig, seed: int = 0) -> Interactions:
    """Give what `split` would train on, over the same ids: all that a search may look at."""
    return interactions.part(~_hold_out(interactions, config, seed)[0])


def make_split(
    interactions: Interactions,
    train: Flags,
    test: Flags,
    config: SplitConfig,
    sentence: str,
    items: ItemFacts | None = None,
) -> Split:
    """Build the split of two masks, (n,) bool each, that share nothing; entries in neither are left out.

    sentence: what was held out. Raises ValueError when no user has entries in both.
    """
    in_train = np.bincount(interactions.users[train], minlength=interactions.shape[0]) > 0
    in_test = np.bincount(interactions.users[test], minlength=interactions.shape[0]) > 0
    tested = test & in_train[interactions.users]
    n_users = int((in_train & in_test).sum())
    if n_users == 0:
        raise ValueError(
            f"{sentence} No shopper has history before and choices after it, so nothing can be tested. "
            "Choose another split or a smaller share."
        )
    without = int((in_test & ~in_train).sum())
    note = f"{sentence} {n_users:,} shoppers have both history and held-out choices."
    if without:
        note += f" New shoppers without history, left out of the test: {without:,}."
    return Split(
        train=interactions.matrix(train),
        test=interactions.matrix(tested),
        config=config,
        note=note,
        n_test_users=n_users,
        n_test_interactions=int(tested.sum()),
        n_test_users_without_history=without,
        context=Context(interactions.matrix_times(train), items),
    )


def default_split(interactions: Interactions) -> tuple[SplitConfig, str]:
    """Choose the fairest split that the data allow, and say why in a sentence for the page."""
    if interactions.times is None:
        return SplitConfig(method="random"), (
            "Random split, because the file has no times. It is optimistic: "
            "the model may learn from choices made after those it is tested on."
        )
    held_out = _after_cut(interactions.times, SplitConfig().test_share)[0]
    n_users = interactions.shape[0]
    before = np.bincount(interactions.users[~held_out], minlength=n_users) > 0
    after = np.bincount(interactions.users[held_out], minlength=n_users) > 0
    both = int((before & after).sum())
    if both >= ENOUGH_USERS:
        return SplitConfig(method="temporal"), (
            f"Split by date, the fairest test: {both:,} shoppers have history before the cut and choices "
            f"after it ({ENOUGH_USERS} are enough)."
        )
    return SplitConfig(method="leave_last"), (
        f"Each shopper's last {SplitConfig().last_n} choices are held out, because only {both:,} shoppers "
        f"have history before a cut by date and choices after it (fewer than {ENOUGH_USERS})."
    )


def _hold_out(interactions: Interactions, config: SplitConfig, seed: int) -> tuple[Flags, str]:
    if config.method == "random":
        rng = np.random.default_rng(seed)
        held_out = rng.random(len(interactions)) < config.test_share
        return held_out, f"Held out at random: {config.test_share:.0%} of all interactions (optimistic)."
    if interactions.times is None:
        raise ValueError("This split needs times and the file has none; choose the random split.")
    if config.method == "temporal":
        held_out, cut = _after_cut(interactions.times, config.test_share)
        day = datetime.fromtimestamp(cut, UTC)
        return held_out, f"Held out: everything from {day.day} {day:%B %Y} on ({held_out.mean():.0%})."
    return _last_of_each(
        interactions, config.last_n, seed
    ), f"Held out: each shopper's last {config.last_n} choices."


def _after_cut(times: npt.NDArray[np.int64], share: float) -> tuple[Flags, int]:
    """Mark what happened at or after the time that leaves `share` of the interactions behind it."""
    at = min(len(times) - 1, int(len(times) * (1 - share)))
    cut = int(np.partition(times, at)[at])
    return np.asarray(times) >= cut, cut


def _last_of_each(interactions: Interactions, n: int, seed: int) -> Flags:
    """Mark each user's n latest; equal times are ordered at random, or item numbers would decide."""
    assert interactions.times is not None
    shuffle = np.random.default_rng(seed).random(len(interactions))
    order = np.lexsort((shuffle, interactions.times, interactions.users))
    counts = np.bincount(interactions.users, minlength=interactions.shape[0])
    ends = np.cumsum(counts)
    users = interactions.users[order]
    from_end = ends[users] - np.arange(len(order))  # 1 = the user's last
    held_out = np.zeros(len(order), bool)
    held_out[order] = (from_end <= n) & (counts[users] > n)
    return held_out
