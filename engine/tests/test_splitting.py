"""What a split holds out, and what it says about it."""

import numpy as np
import pytest

from engine.interactions import IdTable, Interactions
from engine.parameters import ConfigError
from engine.splitting import SplitConfig, default_split, split

DAY = 86_400


def interactions(users: list[int], items: list[int], days: list[int] | None) -> Interactions:
    return Interactions(
        IdTable.of(f"u{n}" for n in range(max(users) + 1)),
        IdTable.of(f"i{n}" for n in range(max(items) + 1)),
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.ones(len(users), np.float32),
        None if days is None else np.array(days, np.int64) * DAY,
    )


def steady(n_users: int, choices: int = 10, *, timed: bool = True) -> Interactions:
    """Make shoppers who each choose one item a day, every day."""
    users = np.repeat(np.arange(n_users), choices)
    days = np.tile(np.arange(choices), n_users)
    return interactions(users.tolist(), days.tolist(), days.tolist() if timed else None)


def test_by_date_nothing_in_train_is_later_than_anything_in_test() -> None:
    data = steady(30)
    parts = split(data, SplitConfig(method="temporal", test_share=0.2))
    assert parts.train.nnz == 240
    assert parts.test.nnz == 60
    assert set(parts.train.indices.tolist()) == set(range(8))
    assert set(parts.test.indices.tolist()) == {8, 9}
    assert "9 January 1970" in parts.note
    assert "30 shoppers" in parts.note


def test_by_date_a_shopper_without_history_is_not_tested_and_is_counted() -> None:
    data = interactions([0, 0, 0, 1, 1], [0, 1, 2, 3, 4], [1, 2, 9, 9, 9])
    parts = split(data, SplitConfig(method="temporal", test_share=0.5))
    assert np.flatnonzero(np.diff(parts.test.indptr)).tolist() == [0]
    assert parts.n_test_users == 1
    assert parts.n_test_users_without_history == 1
    assert parts.n_test_interactions == 1
    assert "left out of the test: 1." in parts.note


def test_the_last_choices_of_each_are_held_out_and_short_histories_stay() -> None:
    data = interactions([0] * 5 + [1] * 2, [0, 1, 2, 3, 4, 0, 1], [5, 4, 3, 2, 1, 1, 2])
    parts = split(data, SplitConfig(method="leave_last", last_n=2))
    assert parts.test[0].indices.tolist() == [0, 1]
    assert parts.train[0].indices.tolist() == [2, 3, 4]
    assert parts.test[1].nnz == 0
    assert parts.train[1].nnz == 2


def test_choices_at_one_moment_are_ordered_by_the_seed_not_by_item() -> None:
    data = interactions([0] * 40, list(range(40)), [1] * 40)
    held_out = [
        split(data, SplitConfig(method="leave_last"), seed).test.indices.tolist() for seed in (0, 0, 1)
    ]
    assert held_out[0] == held_out[1] != held_out[2]
    assert held_out[0] != [35, 36, 37, 38, 39]


def test_random_takes_about_its_share_and_repeats_by_seed() -> None:
    data = steady(200, timed=False)
    config = SplitConfig(method="random", test_share=0.3)
    one, two = split(data, config, 4), split(data, config, 4)
    assert 500 < one.test.nnz < 700
    assert (one.test != two.test).nnz == 0
    assert "optimistic" in one.note


@pytest.mark.parametrize("method", ["temporal", "leave_last", "random"])
def test_train_and_test_share_nothing_and_every_tested_user_has_history(method: str) -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers(0, 50 * 40, 600))
    data = interactions(
        (pairs // 40).tolist(), (pairs % 40).tolist(), rng.integers(0, 99, len(pairs)).tolist()
    )
    parts = split(data, SplitConfig(method=method))
    assert parts.train.multiply(parts.test).nnz == 0
    tested = np.flatnonzero(np.diff(parts.test.indptr))
    assert len(tested) == parts.n_test_users > 0
    assert (np.diff(parts.train.indptr)[tested] > 0).all()


def test_200_test_users_with_history_make_the_default_a_split_by_date() -> None:
    config, why = default_split(steady(200))
    assert config.method == "temporal"
    assert "200 shoppers" in why
    config, why = default_split(steady(199))
    assert config.method == "leave_last"
    assert "only 199 shoppers" in why


def test_without_times_the_default_is_random_and_labelled_optimistic() -> None:
    config, why = default_split(steady(300, timed=False))
    assert config.method == "random"
    assert "optimistic" in why
    assert "no times" in why
    with pytest.raises(ValueError, match="needs times"):
        split(steady(10, timed=False), SplitConfig(method="temporal"))


def test_a_split_that_leaves_nobody_to_test_says_what_to_do() -> None:
    everything_at_once = interactions([0, 0, 1, 1], [0, 1, 0, 1], [3, 3, 3, 3])
    with pytest.raises(ValueError, match="Choose another split"):
        split(everything_at_once, SplitConfig(method="temporal"))


def test_settings_outside_their_bounds_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"test_share must be between 0\.01 and 0\.5"):
        SplitConfig(test_share=0.9)
