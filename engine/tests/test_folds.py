"""What the folds of a search hold out, and what they refuse."""

import numpy as np
import pytest

from engine.folds import random_folds, temporal_folds
from engine.interactions import IdTable, Interactions
from engine.splitting import SplitConfig, split, training_part

DAY = 86_400


def steady(n_users: int = 20, choices: int = 10, *, timed: bool = True) -> Interactions:
    """Make shoppers who each choose item d on day d."""
    items = np.tile(np.arange(choices, dtype=np.int32), n_users)
    return Interactions(
        IdTable.of(f"u{n}" for n in range(n_users)),
        IdTable.of(f"i{n}" for n in range(choices)),
        np.repeat(np.arange(n_users, dtype=np.int32), choices),
        items,
        np.ones(len(items), np.float32),
        items.astype(np.int64) * DAY if timed else None,
    )


def test_the_origin_rolls_forward_and_no_fold_sees_its_future() -> None:
    folds = list(temporal_folds(steady(), 2))
    assert [set(fold.train.indices.tolist()) for fold in folds] == [set(range(6)), set(range(8))]
    assert [set(fold.test.indices.tolist()) for fold in folds] == [{6, 7}, {8, 9}]
    assert "Fold 1 of 2, by date: held out from 7 January 1970 to 8 January 1970." in folds[0].note
    for fold in folds:
        assert fold.context.times is not None
        assert len(fold.context.times) == fold.train.nnz
        assert fold.context.times.max() < 9 * DAY
        assert fold.config.method == "temporal"


def test_random_folds_hold_out_every_interaction_once() -> None:
    data = steady(timed=False)
    folds = list(random_folds(data, 3, seed=4))
    assert sum(fold.test for fold in folds).nnz == len(data)  # nobody here lacks history
    assert {fold.test.nnz for fold in folds} == {66, 67}
    for fold in folds:
        assert (fold.train + fold.test != data.matrix()).nnz == 0
        assert "optimistic" in fold.note
    again = list(random_folds(data, 3, seed=4))
    assert all((one.test != two.test).nnz == 0 for one, two in zip(folds, again, strict=True))
    assert (folds[0].test != next(iter(random_folds(data, 3, seed=5))).test).nnz > 0


def test_a_search_folds_only_what_the_final_test_left_for_training() -> None:
    data, config = steady(), SplitConfig(method="temporal", test_share=0.2)
    left = training_part(data, config)
    assert left.shape == data.shape
    assert (left.matrix() != split(data, config).train).nnz == 0
    assert max(int(fold.test.indices.max()) for fold in temporal_folds(left, 3)) == 7


def test_folds_that_cannot_be_made_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="has none"):
        temporal_folds(steady(timed=False), 3)
    with pytest.raises(ValueError, match="two or more"):
        random_folds(steady(), 1)
    with pytest.raises(ValueError, match="too few"):
        random_folds(steady(2, 2), 3)
    with pytest.raises(ValueError, match="fewer folds"):
        temporal_folds(steady(), 8)
    with pytest.raises(ValueError, match="between 0 and 1"):
        temporal_folds(steady(), 2, latest=1.0)
