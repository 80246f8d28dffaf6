"""The generated shop looks like a shop, and what was planted in it can be found."""

import csv
from pathlib import Path

import numpy as np
import pytest

from engine import synthetic
from engine.synthetic import DEFAULT_END, YEAR, SyntheticShop, make_shop
from engine.synthetic_catalogue import SEASONS, all_products


@pytest.fixture(scope="module")
def shop() -> SyntheticShop:
    return make_shop()


def test_it_has_the_promised_size_and_every_pair_once(shop: SyntheticShop) -> None:
    data = shop.interactions
    assert data.shape == (5_000, 2_000)
    assert len(data) == 200_000
    assert len(np.unique(data.users.astype(np.int64) * 2_000 + data.items)) == 200_000
    assert data.times is not None
    assert DEFAULT_END - YEAR <= data.times.min() < data.times.max() < DEFAULT_END


def test_no_two_items_share_a_title_and_facts_are_plausible(shop: SyntheticShop) -> None:
    titles = shop.facts.titles.to_list()
    assert len(set(titles)) == 2_000
    assert "Oak serving board" in {product.title for product in all_products()}
    assert all(title[0].isupper() and 5 < len(title) < 60 for title in titles)
    assert len(shop.facts.category_names) == 16
    assert (shop.facts.category_of >= 0).all()
    assert shop.facts.sellers is not None
    sold = np.sort(np.bincount(shop.facts.sellers.of))[::-1]
    assert sold[:3].sum() > 0.4 * sold.sum()
    assert sold[-1] > 10
    assert 3 < shop.facts.prices.min() < shop.facts.prices.max() < 400
    assert len(set(shop.interactions.item_ids.to_list())) == 2_000


def test_the_same_seed_gives_the_same_shop_and_another_another() -> None:
    one, two, three = (
        make_shop(n_users=300, n_items=100, n_interactions=3_000, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.interactions.items, two.interactions.items)
    np.testing.assert_array_equal(one.interactions.values, two.interactions.values)
    assert one.facts.titles.to_list() == two.facts.titles.to_list()
    assert not np.array_equal(one.interactions.items, three.interactions.items)


def test_popularity_has_a_long_tail(shop: SyntheticShop) -> None:
    counts = np.sort(np.bincount(shop.interactions.items, minlength=2_000))[::-1]
    assert 0.45 < counts[:400].sum() / counts.sum() < 0.7
    assert counts[0] > 20 * np.median(counts)


def test_categories_sell_best_in_their_season(shop: SyntheticShop) -> None:
    data = shop.interactions
    assert data.times is not None
    months = data.times.astype("datetime64[s]").astype("datetime64[M]").astype(int) % 12 + 1
    categories = shop.facts.category_of[data.items]
    overall = np.bincount(months, minlength=13)[1:]
    for name in ("Garden", "Outdoor living"):
        here = categories == shop.facts.category_names.to_list().index(name)
        share = np.bincount(months[here], minlength=13)[1:] / overall
        peak = SEASONS[name][0]
        assert abs(int(share.argmax()) + 1 - peak) <= 1
        assert share.max() > 2 * share.min()


def test_what_was_chosen_is_liked_more_than_what_was_not(shop: SyntheticShop) -> None:
    data = shop.interactions
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(data), 5_000)
    chosen = shop.liking(data.users[at], data.items[at])
    random = shop.liking(data.users[at], rng.integers(0, 2_000, 5_000).astype(np.int32))
    assert ((chosen >= 0) & (chosen <= 1)).all()
    assert chosen.mean() > 2 * random.mean()
    chances = shop.choice_probabilities(7)
    assert chances.sum() == pytest.approx(1, abs=1e-4)
    favourite = np.array([chances.argmax()], np.int32)
    assert shop.liking(np.array([7], np.int32), favourite)[0] == pytest.approx(1)


def test_better_liked_items_get_more_stars(shop: SyntheticShop) -> None:
    data = shop.interactions
    assert set(np.unique(data.values).tolist()) == {1, 2, 3, 4, 5}
    liked = shop.liking(data.users, data.items)
    assert np.corrcoef(liked, data.values)[0, 1] > 0.3


def test_the_files_hold_the_same_shop(tmp_path: Path) -> None:
    shop = make_shop(n_users=50, n_items=40, n_interactions=400)
    shop.write_interactions_csv(tmp_path / "ratings.csv")
    shop.write_items_csv(tmp_path / "items.csv")
    with (tmp_path / "ratings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = shop.interactions
    assert data.times is not None
    expected = {
        (data.user_ids[u], data.item_ids[i], f"{v:.0f}", str(t))
        for u, i, v, t in zip(data.users, data.items, data.values, data.times, strict=True)
    }
    assert {(r["user_id"], r["item_id"], r["rating"], r["timestamp"]) for r in rows} == expected
    assert [int(row["timestamp"]) for row in rows] == sorted(int(row["timestamp"]) for row in rows)
    with (tmp_path / "items.csv").open(newline="") as file:
        items = list(csv.DictReader(file))
    assert [item["title"] for item in items] == shop.facts.titles.to_list()
    assert items[3]["seller"] == shop.facts.seller(3)
    assert float(items[3]["price"]) == pytest.approx(shop.facts.price(3))


def test_more_items_than_words_get_numbered_titles() -> None:
    shop = make_shop(n_users=500, n_items=6_000, n_interactions=2_000)
    assert len(set(shop.facts.titles.to_list())) == 6_000


def test_an_impossible_density_is_refused() -> None:
    with pytest.raises(ValueError, match="quarter"):
        make_shop(n_users=10, n_items=10, n_interactions=50)


def test_a_shop_does_not_depend_on_how_much_is_drawn_or_sorted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = {"n_users": 90, "n_items": 60, "n_interactions": 1_300}  # dense: pairs are drawn in several rounds
    whole = make_shop(**size).interactions
    for name, few in (("DRAWN_AT_ONCE", 77), ("SORTED_AT_ONCE", 133), ("SCORED_AT_ONCE", 500)):
        monkeypatch.setattr(synthetic, name, few)
    parts = make_shop(**size).interactions
    for name in ("users", "items", "times", "values"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_streams_draw_what_the_generator_would_and_it_goes_on_behind() -> None:
    plain, split = (np.random.default_rng(3) for _ in range(2))
    for each in (plain, split):
        each.integers(0, 9, 3, dtype=np.int32)  # leaves half a number behind
    expected = [plain.random(10) for _ in range(3)]
    streams = synthetic._streams(split, 3, 10)
    found = [np.concatenate([each.random(4), each.random(6)]) for each in streams]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(split.permutation(50), plain.permutation(50))
