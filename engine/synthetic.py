"""A generated shop with tastes planted in it, so that what a model should find is known.

Every shopper mixes a few tastes and some impulse; a taste likes a few categories and materials; items
follow a long tail; categories have seasons. Everything is drawn in bulk from one seed: 200,000
interactions take a fraction of a second, 50 million some minutes.
"""

import csv
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.interactions import Float32, IdTable, Int32, Int64, Interactions
from engine.items import ItemFacts, Labels
from engine.synthetic_catalogue import SEASONS, SELLER_FALL, SELLERS, all_products

Float64 = npt.NDArray[np.float64]

N_TASTES = 24
N_STYLES = 9
IMPULSE = 0.15  # share of choices that follow the best sellers alone
DRAWN_AT_ONCE, SORTED_AT_ONCE, SCORED_AT_ONCE = 500_000, 4_000_000, 16_000_000
DAY, YEAR = 86_400, 365 * 86_400
DEFAULT_END = 1_767_225_600  # 1 January 2026, UTC


@dataclass(frozen=True)
class SyntheticShop:
    """What was generated and the truth behind it.

    mixtures: (n_users, n_tastes + 1), each shopper's shares of the tastes, the last one impulse;
    appeal: (n_tastes + 1, n_items), each taste's choice probabilities over a year; rows sum to 1.
    """

    interactions: Interactions
    facts: ItemFacts
    mixtures: Float32
    appeal: Float32

    def choice_probabilities(self, user: int) -> Float32:
        """Give the planted probability of each item to be this shopper's next choice, (n_items,)."""
        return np.asarray(self.mixtures[user] @ self.appeal, np.float32)

    def liking(self, users: Int32, items: Int32) -> Float32:
        """Say how much shoppers like items, pair by pair, from 0 to 1 (1 = the shopper's favourite)."""
        chances = np.einsum("nt,tn->n", self.mixtures[users], self.appeal[:, items])
        return np.asarray(np.sqrt(np.minimum(chances / self._favourites[users], 1)), np.float32)

    @cached_property
    def _favourites(self) -> Float32:
        rows = min(1024, 1 + SCORED_AT_ONCE // self.appeal.shape[1])
        best = [
            (self.mixtures[at : at + rows] @ self.appeal).max(axis=1)
            for at in range(0, len(self.mixtures), rows)
        ]
        return np.concatenate(best)

    def write_interactions_csv(self, path: Path) -> None:
        """Write user_id, item_id, rating (1 to 5) and timestamp (seconds since 1970), oldest first."""
        write_interactions_csv(path, self.interactions)

    def write_items_csv(self, path: Path) -> None:
        """Write item_id, title, category, price and seller, one line an item."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["item_id", "title", "category", "price", "seller"])
            for at, item in enumerate(self.interactions.item_ids.to_list()):
                facts = self.facts
                price = f"{facts.price(at):.2f}"
                writer.writerow([item, facts.title(at), facts.category(at), price, facts.seller(at)])


def write_interactions_csv(path: Path, data: Interactions) -> None:
    """Write user_id, item_id, rating (whole) and timestamp (seconds since 1970), oldest first."""
    assert data.times is not None
    users, items = data.user_ids.to_list(), data.item_ids.to_list()
    order = np.argsort(data.times, kind="stable")
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("user_id,item_id,rating,timestamp\n")
        for at in range(0, len(order), 100_000):
            block = order[at : at + 100_000]
            columns = (x[block].tolist() for x in (data.users, data.items, data.values, data.times))
            file.writelines(
                f"{users[u]},{items[i]},{v:.0f},{t}\n" for u, i, v, t in zip(*columns, strict=True)
            )


def make_shop(
    *,
    n_users: int = 5_000,
    n_items: int = 2_000,
    n_interactions: int = 200_000,
    seed: int = 0,
    end: int = DEFAULT_END,
) -> SyntheticShop:
    """Generate a shop's year up to `end` (seconds since 1970); the same arguments give the same shop.

    Raises ValueError when more interactions are asked for than shoppers could have with items.
    """
    if n_interactions > n_users * n_items * 0.25:
        raise ValueError("at most a quarter of all pairs of shopper and item can be interactions")
    rng = np.random.default_rng(seed)
    facts, styles = _stock(rng, n_items)
    # By numbers of their own, so that a shop is the same with and without sellers.
    facts = replace(facts, sellers=_sellers(np.random.default_rng([seed, 1]), n_items))
    appeal = _tastes(rng, facts, styles)
    mixtures = _shoppers(rng, n_users)
    users, items, times = _choices(rng, facts, appeal, mixtures, n_interactions, end)
    shop = SyntheticShop(
        Interactions(
            user_ids=IdTable.of(f"s{number:0{len(str(n_users))}d}" for number in range(1, n_users + 1)),
            item_ids=IdTable.of(_item_numbers(facts)),
            users=users,
            items=items,
            values=np.ones(len(users), np.float32),
            times=times,
        ),
        facts,
        mixtures.astype(np.float32),
        appeal.astype(np.float32),
    )
    shop.interactions.values[:] = _ratings(rng, shop)
    return shop


def _stock(rng: np.random.Generator, n_items: int) -> tuple[ItemFacts, Int32]:
    """Draw titles without repetition, their categories and prices, and each item's planted style."""
    catalogue = all_products()
    rounds = -(-n_items // len(catalogue))
    drawn = np.concatenate([rng.permutation(len(catalogue)) for _ in range(rounds)])[:n_items]
    titles = [
        catalogue[at].title + (f", No. {n // len(catalogue) + 1}" if n >= len(catalogue) else "")
        for n, at in enumerate(drawn.tolist())
    ]
    prices = np.array([catalogue[at].price for at in drawn]) * rng.lognormal(0, 0.08, n_items)
    materials = sorted({product.material for product in catalogue})
    style_of = dict(zip(materials, rng.integers(0, N_STYLES, len(materials)).tolist(), strict=True))
    facts = ItemFacts.of(titles, [catalogue[at].category for at in drawn], np.floor(prices) + 0.9)
    return facts, np.array([style_of[catalogue[at].material] for at in drawn], np.int32)


def _sellers(rng: np.random.Generator, n_items: int) -> Labels:
    """Draw who sells each item: a few sell much of the stock, many sell little."""
    shares = np.arange(1.0, len(SELLERS) + 1) ** -SELLER_FALL
    return Labels.read([SELLERS[at] for at in rng.choice(len(SELLERS), n_items, p=shares / shares.sum())])


def _item_numbers(facts: ItemFacts) -> list[str]:
    prefixes = [name[:3].upper() for name in facts.category_names.to_list()]
    return [f"{prefixes[at]}-{number:05d}" for number, at in enumerate(facts.category_of.tolist(), 1)]


def _tastes(rng: np.random.Generator, facts: ItemFacts, styles: Int32) -> Float64:
    """Draw each taste's choice probabilities; the last row is impulse: popularity alone."""
    n_items, n_categories = len(facts), len(facts.category_names)
    popularity = rng.permutation(np.arange(1, n_items + 1) + 12.0) ** -0.75
    category_pull = np.full((N_TASTES, n_categories), -4.0)
    style_pull = np.full((N_TASTES, N_STYLES), -1.6)
    for taste in range(N_TASTES):
        category_pull[taste, rng.choice(n_categories, min(3, n_categories), replace=False)] = [
            0.6,
            0.2,
            -0.3,
        ][: min(3, n_categories)]
        style_pull[taste, rng.choice(N_STYLES, 3, replace=False)] = [0.8, 0.4, 0.0]
    pull = category_pull[:, facts.category_of] + style_pull[:, styles]
    pull += rng.normal(0, 0.5, pull.shape)
    weights = np.vstack([popularity * np.exp(pull), popularity])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def _shoppers(rng: np.random.Generator, n_users: int) -> Float64:
    shares = rng.dirichlet(np.full(N_TASTES, 0.08), n_users) * (1 - IMPULSE)
    return np.hstack([shares, np.full((n_users, 1), IMPULSE)])


def _choices(
    rng: np.random.Generator, facts: ItemFacts, appeal: Float64, mixtures: Float64, wanted: int, end: int
) -> tuple[Int32, Int32, Int64]:
    """Draw choices until `wanted` distinct pairs exist: who, when, by which taste, then what.

    In order of user and item.
    """
    n_users, n_items = len(mixtures), len(facts)
    draws = _Draws.of(rng, facts, appeal, mixtures, end)
    pairs, moments = np.empty(0, np.int64), np.empty(0, np.int32)
    while len(pairs) < wanted:
        n = int((wanted - len(pairs)) * 1.3) + 1000
        more, when = draws.take(rng, n)
        if len(pairs):
            more, when = np.concatenate([pairs, more]), np.concatenate([moments, when])
        # By ranges of pairs, so that sorting needs room for a part alone. The first of equal pairs stands.
        bounds = np.linspace(0, n_users * n_items, 1 + -(-len(more) // SORTED_AT_ONCE)).astype(np.int64)
        found, times = [], []
        for low, high in pairwise(bounds.tolist()):
            places = np.flatnonzero((more >= low) & (more < high))
            distinct, first = np.unique(more[places], return_index=True)
            found.append(distinct)
            times.append(when[places[first]])
        del more, when, pairs, moments
        pairs, moments = np.concatenate(found), np.concatenate(times)
        del found, times
    kept = np.zeros(len(pairs), bool)
    kept[rng.permutation(len(pairs))[:wanted]] = True
    pairs, moments = pairs[kept], moments[kept]
    users, items = np.empty(wanted, np.int32), np.empty(wanted, np.int32)
    np.floor_divide(pairs, n_items, out=users, casting="unsafe")
    np.remainder(pairs, n_items, out=items, casting="unsafe")
    return users, items, moments + np.int64(end - YEAR)


@dataclass(frozen=True)
class _Draws:
    """What choices are drawn from: cumulative activity of the users, when each joined, tastes and items."""

    activity: Float64
    joined: Float64
    taste_bounds: Float64
    monthly: Float64
    n_items: int
    end: int

    @classmethod
    def of(
        cls, rng: np.random.Generator, facts: ItemFacts, appeal: Float64, mixtures: Float64, end: int
    ) -> Self:
        n_users = len(mixtures)
        activity = np.cumsum(rng.lognormal(0, 0.7, n_users))
        joined = np.where(rng.random(n_users) < 0.8, 0.0, rng.random(n_users) * 0.9)
        taste_bounds = np.cumsum(mixtures, axis=1)
        taste_bounds[:, -1] = 1.0
        return cls(activity, joined, taste_bounds, _monthly(facts, appeal), len(facts), end)

    def take(self, rng: np.random.Generator, n: int) -> tuple[Int64, Int32]:
        """Draw n choices: user × n_items + item, and the seconds since the year began, (n,) each."""
        pairs, moments = np.empty(n, np.int64), np.empty(n, np.int32)
        streams = _streams(rng, 4, n)
        n_tastes = self.taste_bounds.shape[1]
        for at in range(0, n, DRAWN_AT_ONCE):
            here = slice(at, min(n, at + DRAWN_AT_ONCE))
            who, moment, taste, what = (each.random(here.stop - at) for each in streams)
            users = np.searchsorted(self.activity, who * self.activity[-1]).astype(np.int64)
            joined = self.joined[users]
            began = self.end - YEAR
            seconds = (began + YEAR * (joined + (1 - joined) * moment)).astype(np.int64)
            moments[here] = seconds - began
            months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12
            tastes = (self.taste_bounds[users] < taste[:, None]).sum(axis=1)
            groups = months * n_tastes + tastes
            items = np.searchsorted(self.monthly, groups + what) - groups * self.n_items
            pairs[here] = users * self.n_items + np.clip(items, 0, self.n_items - 1)
        return pairs, moments


def _streams(rng: np.random.Generator, count: int, n: int) -> list[np.random.Generator]:
    """Give generators that draw what `count` calls of rng.random(n) would draw, in blocks of any size.

    rng goes on behind all of that.
    """
    found = []
    source = rng.bit_generator
    assert isinstance(source, np.random.PCG64)
    before = source.state
    for _ in range(count):
        copy = np.random.PCG64()
        copy.state = source.state
        found.append(np.random.Generator(copy))
        source.advance(n)
    # `advance` forgets half a number that may be left from before.
    source.state = {**before, "state": source.state["state"]}
    return found


def _monthly(facts: ItemFacts, appeal: Float64) -> Float64:
    """Chain the cumulative probabilities of every (month, taste), so that one search draws any of them."""
    peaks = [SEASONS.get(name, (1, 0.0)) for name in facts.category_names.to_list()]
    month = np.arange(12)[:, None]
    swing = np.array([share for _, share in peaks])
    peak = np.array([at - 1 for at, _ in peaks])
    season = 1 + swing * np.cos(2 * np.pi * (month - peak) / 12)
    bounds: Float64 = appeal[None, :, :] * season[:, None, facts.category_of]
    np.cumsum(bounds, axis=2, out=bounds)
    bounds /= bounds[:, :, -1:].copy()
    bounds += np.arange(12 * len(appeal)).reshape(12, -1, 1)
    return bounds.ravel()


def _ratings(rng: np.random.Generator, shop: SyntheticShop) -> Float32:
    """Draw 1 to 5 stars: what a shopper likes more gets more, with noise."""
    data = shop.interactions
    stars = np.empty(len(data), np.float32)
    for at in range(0, len(data), 1_000_000):
        block = slice(at, at + 1_000_000)
        liked = shop.liking(data.users[block], data.items[block])
        stars[block] = np.clip(np.rint(3.2 + 2.6 * liked + rng.normal(0, 0.8, len(liked))), 1, 5)
    return stars
