"""MovieLens' own files, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from engine.catalogue import check_items
from engine.sniffing import sniff
from engine.validation import check_interactions

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "ml-latest-small"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="ml-latest-small is not beside the project")


def test_ratings_are_read_as_a_plain_reader_reads_them():
    path = FOLDER / "ratings.csv"
    checked = check_interactions(path, sniff(path))
    loaded = checked.interactions
    plain = np.loadtxt(path, delimiter=",", skiprows=1)
    assert checked.problem_count == 0
    assert len(loaded) == len(plain)
    assert np.array_equal(np.array(loaded.user_ids.to_list(), float)[loaded.users], plain[:, 0])
    assert np.array_equal(np.array(loaded.item_ids.to_list(), float)[loaded.items], plain[:, 1])
    assert np.array_equal(loaded.values, plain[:, 2].astype(np.float32))
    assert np.array_equal(loaded.times, plain[:, 3].astype(np.int64))
    assert checked.report["users"] == len(np.unique(plain[:, 0]))


def test_movies_are_recognised_as_items():
    path = FOLDER / "movies.csv"
    found = sniff(path)
    assert found.kind == "items"
    assert found.roles == {"item": 0, "title": 1, "category": 2}
    catalogue = check_items(path, found).catalogue
    assert catalogue.titles[catalogue.ids.positions["1"]] == "Toy Story (1995)"
    assert "American President, The (1995)" in catalogue.titles.to_list()
