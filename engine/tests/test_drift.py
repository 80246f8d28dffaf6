"""Drift measures with known answers, and no alarm where nothing changed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from engine.drift import (
    LEAST,
    Drift,
    best_seller_change,
    cold_user_share,
    jensen_shannon,
    measure_drift,
    new_item_share,
    popularity_shift,
    value_shift,
)
from engine.interactions import IdTable, Interactions
from engine.synthetic import make_shop


def drawn(rng: np.random.Generator, n: int, n_users: int = 300, n_items: int = 400) -> Interactions:
    """Draw n choices from one unchanging shop with a long tail."""
    share = 1 / np.arange(1, n_items + 1)
    return Interactions(
        IdTable.of(f"u{at}" for at in range(n_users)),
        IdTable.of(f"i{at}" for at in range(n_items)),
        rng.integers(0, n_users, n, np.int32),
        rng.choice(n_items, n, p=share / share.sum()).astype(np.int32),
        rng.choice(5, n, p=[0.1, 0.1, 0.2, 0.3, 0.3]).astype(np.float32),
    )


def test_35_rows_never_raise_an_alarm() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        for sizes in ((35, 35), (35, 20_000), (20_000, 35)):
            before, after = (drawn(rng, n) for n in sizes)
            for found in measure_drift(before, after):
                assert found.verdict == "not enough data"
                assert found.effect is None
                assert found.sentence.endswith(f"not enough data (35 choices, {LEAST} are needed).")


@pytest.mark.parametrize("n", [LEAST, 1_000])
def test_an_unchanged_shop_raises_no_alarm_at_any_size(n: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = measure_drift(drawn(rng, n), drawn(rng, 2 * n), seed=seed)
        assert {each.verdict for each in found} == {"none"}


def test_psi_by_hand() -> None:
    # Halves become 3 : 1, with half a choice more a bin.
    before, after = np.repeat([0, 1], 500), np.repeat([0, 1], [750, 250])
    p, q = 500.5 / 1001, np.array([750.5, 250.5]) / 1001
    found = value_shift(before, after)
    assert found.effect == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert found.effect == pytest.approx(0.25 * np.log(3), rel=0.01)
    assert found.verdict == "strong"
    assert value_shift(before, np.repeat([0, 1], [660, 340])).verdict == "some"
    assert value_shift(before, before).verdict == "none"
    assert value_shift(np.ones(LEAST), np.ones(LEAST)).effect == 0


def test_values_of_many_kinds_are_binned_by_tenths() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=5_000)
    assert value_shift(before, rng.normal(size=5_000)).verdict == "none"
    assert value_shift(before, rng.normal(0.4, size=5_000)).verdict == "some"
    assert value_shift(before, rng.normal(1, size=5_000)).verdict == "strong"


def test_jensen_shannon_agrees_with_scipy_and_with_its_ends() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 50, 30), rng.integers(0, 9, 30)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert jensen_shannon(p, 3 * p) == pytest.approx(0)
    assert jensen_shannon(np.array([4, 0]), np.array([0, 7])) == pytest.approx(1)


def test_moved_popularity_and_lost_best_sellers_are_seen() -> None:
    before = np.concatenate([np.full(100, 50), np.full(400, 2)])
    assert popularity_shift(before, before).verdict == "none"
    assert popularity_shift(before, before[::-1]).verdict == "strong"
    assert best_seller_change(before, before[::-1]).effect == 1
    before = (20_000 / np.arange(1, 501)).astype(int)
    after = before.copy()
    after[:40], after[400:440] = before[400:440], before[:40]
    lost = best_seller_change(before, after)
    assert lost.effect == pytest.approx(0.4)
    assert lost.verdict == "some"


def test_new_items_and_users_are_counted_by_hand() -> None:
    before, after = np.array([500, 500, 0]), np.array([400, 300, 300])
    assert new_item_share(before, after).effect == pytest.approx(0.3)
    assert new_item_share(before, after).verdict == "strong"
    assert new_item_share(before, np.array([450, 450, 100])).verdict == "some"
    users_before = np.concatenate([np.full(80, 10), np.zeros(20, int)])
    cold = cold_user_share(users_before, np.full(100, 10))
    assert cold.effect == pytest.approx(0.2)
    assert cold.verdict == "some"


def test_two_versions_are_matched_by_their_ids() -> None:
    data = drawn(np.random.default_rng(0), 2_000)
    order = np.random.default_rng(1).permutation(400)
    names = data.item_ids.to_list()
    place = np.argsort(order).astype(np.int32)
    renumbered = replace(data, item_ids=IdTable.of(names[at] for at in order), items=place[data.items])
    found = measure_drift(data, renumbered)
    assert {each.name: each.effect for each in found} == pytest.approx(
        {"value_shift": 0, "popularity_shift": 0, "best_seller_change": 0, "new_items": 0, "cold_users": 0}
    )


def test_a_season_shows_in_a_generated_shop() -> None:
    shop = make_shop(n_users=2_000, n_items=500, n_interactions=40_000).interactions
    assert shop.times is not None
    quarters = np.quantile(shop.times, [0.25, 0.5])
    first, second = shop.times < quarters[0], (shop.times >= quarters[0]) & (shop.times < quarters[1])
    found = {each.name: each for each in measure_drift(shop.part(first), shop.part(second))}
    assert found["value_shift"].verdict == "none"
    shift = found["popularity_shift"]
    assert shift.effect is not None
    assert shift.chance is not None
    assert shift.effect > shift.chance
    assert json.loads(json.dumps([each.summary() for each in found.values()], allow_nan=False))


def test_counts_of_other_things_are_refused() -> None:
    with pytest.raises(ValueError, match="same items"):
        popularity_shift(np.ones(3, int), np.ones(4, int))
    assert isinstance(cold_user_share(np.ones(3, int), np.ones(3, int)), Drift)
