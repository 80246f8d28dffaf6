"""Interactions over a whole catalogue keep what they held and gain a column for each item nobody chose."""

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import Context
from engine.estimators.content import Content
from engine.interactions import IdTable, Interactions
from engine.items import ItemFacts


def bought(users: list[str], items: list[str]) -> Interactions:
    """One interaction each: the n-th user chose the n-th item."""
    user_names, user_at = np.unique(users, return_inverse=True)
    item_names, item_at = np.unique(items, return_inverse=True)
    return Interactions(
        IdTable.of(user_names.tolist()),
        IdTable.of(item_names.tolist()),
        user_at.astype(np.int32),
        item_at.astype(np.int32),
        np.ones(len(users), np.float32),
    )


def test_items_only_in_the_catalogue_get_empty_columns_at_the_end() -> None:
    sold = bought(["u", "u", "v"], ["a", "c", "c"])
    whole = sold.with_items(IdTable.of(["z", "c", "b", "a"]))
    assert whole.item_ids.to_list() == ["a", "c", "z", "b"]
    assert whole.shape == (2, 4)
    expected = sp.hstack([sold.matrix(), sp.csr_matrix((2, 2))]).toarray()
    np.testing.assert_array_equal(whole.matrix().toarray(), expected)


def test_a_catalogue_without_new_items_changes_nothing() -> None:
    sold = bought(["u"], ["a"])
    assert sold.with_items(IdTable.of(["a"])) is sold
    assert sold.with_items(IdTable.of([])) is sold


def test_an_item_that_only_the_catalogue_knows_is_recommended() -> None:
    whole = bought(["u", "v"], ["apron", "lamp"]).with_items(IdTable.of(["napkin", "bulb"]))
    titles = {"apron": "Linen apron", "lamp": "Brass lamp", "napkin": "Linen napkin", "bulb": "Brass bulb"}
    facts = ItemFacts.of([titles[item] for item in whole.item_ids.to_list()], [None] * 4, [np.nan] * 4)
    matrix = whole.matrix()
    found = Content().fit(matrix, context=Context(items=facts)).recommend(np.arange(2), 1, seen=matrix)
    assert [whole.item_ids[item] for item in found.items[:, 0]] == ["napkin", "bulb"]
