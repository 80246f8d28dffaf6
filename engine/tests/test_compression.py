"""Smaller variants of a model answer as it does, at the stated size, for a small price in quality."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import scipy.sparse as sp

from engine.artifacts import ArtifactError, load_artifact, save_artifact
from engine.compression import (
    Variant,
    compress,
    cut_rank,
    measure_variants,
    model_bytes,
    prune,
    smallest_that_keeps,
    usual_variants,
)
from engine.estimators import ALGORITHMS, LOADABLE
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import Estimator
from engine.estimators.compressed_factors import CompressedFactors
from engine.estimators.item_knn import ItemKNN, ItemKNNConfig
from engine.estimators.number_storage import decode, encode, score_all, score_pairs, to_int16
from engine.interactions import IdTable
from engine.serving.model import ServedModel
from engine.serving.ranking import Ranker
from engine.serving.requests import Wanted
from engine.serving.warm_up import warm_up
from engine.splitting import Split, SplitConfig, split
from engine.synthetic import make_shop
from engine.testing import check_lists, random_matrix, same_lists
from engine.tests.test_artifacts import replace_member

MATRIX = random_matrix(20)
TABLES = IdTable.of(f"u{n}" for n in range(60)), IdTable.of(f"i{n}" for n in range(45))
FACTORS = [
    Variant("float16"),
    Variant("int8"),
    Variant(rank=8),
    Variant("int8", rank=8),
    Variant("float16", rank=200),
]
NEIGHBOURS = [Variant(neighbours=5), Variant("float16"), Variant("float16", neighbours=5)]
EVERY = [("als", each) for each in FACTORS] + [("item_knn", each) for each in NEIGHBOURS]
EVERY += [("item_graph", NEIGHBOURS[2])]


@pytest.fixture(scope="module")
def models() -> dict[str, Estimator]:
    found: dict[str, Estimator] = {"als": ALS(ALSConfig(factors=16)).fit(MATRIX)}
    return found | {name: ALGORITHMS[name]().fit(MATRIX) for name in ("item_knn", "item_graph")}


def save(folder: Path, model: Estimator) -> str:
    return save_artifact(folder, model, user_ids=TABLES[0], item_ids=TABLES[1], seen=MATRIX)


# Numbers in fewer bytes


def test_int8_scores_are_those_of_the_stored_numbers() -> None:
    rng = np.random.default_rng(0)
    for n, m, width in ((1, 1, 1), (3, 700, 64), (2, 300, 23), (1, 50, 1024)):
        users = rng.standard_normal((n, width), dtype=np.float32)
        codes, scales = encode(rng.standard_normal((m, width), dtype=np.float32), "int8")
        expected = users.astype(float) @ decode(codes, scales).astype(float).T
        found = score_all(users, codes, scales)
        lengths = np.linalg.norm(users, axis=1)[:, None] * np.linalg.norm(decode(codes, scales), axis=1)
        assert (np.abs(found - expected) <= 1e-4 * lengths).all()
        pairs = rng.integers(0, m, n)
        np.testing.assert_array_equal(
            score_pairs(users, codes[pairs], scales[pairs]), found[np.arange(n), pairs]
        )


def test_the_greatest_numbers_never_overflow_the_sum() -> None:
    for width in (1, 64, 513, 1024, 4096):
        users = np.full((1, width), 3.0, np.float32)
        codes, scales = encode(np.full((1, width), -5.0, np.float32), "int8")
        assert score_all(users, codes, scales)[0, 0] == pytest.approx(-15 * width, rel=1e-3)
        assert np.abs(to_int16(users)[0].astype(np.int64)).sum() * 128 < 2**31


@pytest.mark.parametrize("magnitude", [1e-30, 1e-6, 1.0, 65_504.0, 1e30])
def test_float16_keeps_eleven_bits_of_numbers_of_any_magnitude(magnitude: float) -> None:
    rows = (np.random.default_rng(0).standard_normal((50, 7)) * magnitude).astype(np.float32)
    codes, scales = encode(rows, "float16")
    np.testing.assert_allclose(decode(codes, scales), rows, rtol=2**-11, atol=magnitude * 1e-6)
    again = encode(decode(codes, scales), "float16")
    np.testing.assert_array_equal(again[0], codes)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_rows_of_zeros_stay_zeros(storage: str) -> None:
    codes, scales = encode(np.zeros((4, 3), np.float32), storage)
    assert not decode(codes, scales).any()
    assert not score_all(np.zeros((2, 3), np.float32), codes, scales).any()


@pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e12])
def test_float16_scores_are_those_of_the_stored_numbers(magnitude: float) -> None:
    rng = np.random.default_rng(0)
    for n, m, width in ((1, 1, 1), (3, 700, 64), (2, 300, 23)):
        users = rng.standard_normal((n, width), dtype=np.float32) * np.float32(magnitude)
        items = rng.standard_normal((m, width), dtype=np.float32) / np.float32(magnitude)
        items[:, -1] *= 1e-7  # below what float16 holds at full precision
        codes, scales = encode(items, "float16")
        expected = users.astype(float) @ decode(codes, scales).astype(float).T
        np.testing.assert_allclose(score_all(users, codes, scales), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(
            score_all(users[-1:], codes, scales)[0], score_all(users, codes, scales)[-1]
        )


# The rank


def test_a_cut_rank_is_the_truncated_svd_of_all_scores() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((50, 12)), rng.standard_normal((40, 12)) * np.arange(1, 13)
    left, strengths, right = np.linalg.svd(users @ items.T)
    for rank in (1, 5, 12):
        cuts = cut_rank(users.astype(np.float32), items.astype(np.float32), rank)
        expected = left[:, :rank] * strengths[:rank] @ right[:rank]
        np.testing.assert_allclose((users @ cuts[0]) @ (items @ cuts[1]).T, expected, atol=1e-3)


def test_a_cut_of_directions_without_any_score_gives_zeros() -> None:
    users, items = np.zeros((6, 4), np.float32), np.ones((5, 4), np.float32)
    users[:, 0] = 1
    for cut in (cut_rank(users, items, 3), cut_rank(0 * users, items, 3), cut_rank(users[:2], items[:1], 3)):
        assert all(np.isfinite(side).all() for side in cut)
    cuts = cut_rank(users, items, 3)
    np.testing.assert_allclose((users @ cuts[0]) @ (items @ cuts[1]).T, users @ items.T, atol=1e-5)


# The neighbours


def test_pruning_keeps_the_strongest_neighbours_of_each_item() -> None:
    dense = np.array([[0, 0.5, 0.9, 0.5], [0.1, 0, 0, 0], [0, 0, 0, 0], [0.2, 0.3, 0.4, 0]], np.float32)
    kept = prune(sp.csr_matrix(dense), 2).toarray()
    expected = np.array([[0, 0.5, 0.9, 0], [0.1, 0, 0, 0], [0, 0, 0, 0], [0, 0.3, 0.4, 0]], np.float32)
    np.testing.assert_array_equal(kept, expected)


def test_pruning_equals_a_fit_with_fewer_neighbours() -> None:
    fewer = ItemKNN(ItemKNNConfig(neighbours=6)).fit(MATRIX)
    pruned = compress(ItemKNN().fit(MATRIX), Variant(neighbours=6))
    assert pruned.config == fewer.config
    same_lists(pruned.recommend(np.arange(60), 9), fewer.recommend(np.arange(60), 9))


# What is asked for, in words


@pytest.mark.parametrize("text", ["float32", "int8", "rank=32", "int8,rank=32", "float16,neighbours=50"])
def test_a_variant_is_read_as_it_is_written(text: str) -> None:
    assert Variant.read(text).text == text
    assert Variant.read(text.replace(",", " , ")) == Variant.read(text)


@pytest.mark.parametrize("text", ["", "int4", "rank", "rank=", "rank=x", "rank=-1", "int8=3", "int8,,rank=2"])
def test_what_is_no_variant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write a variant as int8, rank=32"):
        Variant.read(text)


# What every variant does


@pytest.mark.parametrize(("name", "variant"), EVERY)
def test_a_variant_gives_valid_lists_and_comes_back_from_its_artifact(
    name: str, variant: Variant, models: dict[str, Estimator], tmp_path: Path
) -> None:
    made = compress(models[name], variant)
    users = np.arange(60)
    lists = made.recommend(users, 8, seen=MATRIX)
    check_lists(lists, 45, seen=MATRIX)
    check_lists(made.similar_items(np.arange(45), 5), 45)
    check_lists(made.similar_users(users, 5), 60)
    scores = made.score(users, lists.items[:, 0])
    np.testing.assert_allclose(scores, lists.scores[:, 0], rtol=1e-4, atol=1e-5)
    alone = made.recommend(users[7:8], 8, seen=MATRIX[7])
    np.testing.assert_allclose(alone.scores[0], lists.scores[7], rtol=1e-4, atol=1e-5)
    digest = save(tmp_path / "a", made)
    kept = load_artifact(tmp_path / "a", digest).estimator
    same_lists(lists, kept.recommend(users, 8, seen=MATRIX))
    same_lists(made.similar_items(users[:45], 5), kept.similar_items(users[:45], 5))
    folded, again = made.fold_in(MATRIX[:9]), kept.fold_in(MATRIX[:9])
    same_lists(made.recommend(folded, 8), kept.recommend(again, 8))
    assert save(tmp_path / "b", compress(models[name], variant)) == digest
    members = json.loads((tmp_path / "a" / "manifest.json").read_text())["members"]
    own = [entry["bytes"] for member, entry in members.items() if member.startswith("model_")]
    assert sum(own) <= model_bytes(made)


@pytest.mark.parametrize("variant", FACTORS)
def test_a_history_folded_in_gives_nearly_the_lists_of_the_original(
    variant: Variant, models: dict[str, Estimator]
) -> None:
    made, original = compress(models["als"], variant), models["als"]
    found = made.recommend(made.fold_in(MATRIX), 5).items
    expected = original.recommend(original.fold_in(MATRIX), 5).items
    shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, expected, strict=True)])
    assert shared > (0.6 if variant.rank == 8 else 0.95)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_explanations_add_up_to_the_score_of_the_folded_history(
    storage: str, models: dict[str, Estimator]
) -> None:
    made = compress(models["als"], Variant(storage))
    row = MATRIX[4]
    reasons = made.explain(row, 9, row.nnz)
    assert reasons.score == pytest.approx(made.score(made.fold_in(row), np.array([9]))[0], abs=1e-3)


def test_a_variant_refuses_what_its_own_class_refuses(models: dict[str, Estimator]) -> None:
    made = compress(models["als"], Variant("int8"))
    with pytest.raises(ValueError, match="rows must have 45 columns"):
        made.fold_in(sp.csr_matrix((1, 46), dtype=np.float32))
    with pytest.raises(ValueError, match="user positions"):
        made.recommend(np.array([60]), 3)
    with pytest.raises(ValueError, match="not trained"):
        made.fit(MATRIX)


def test_what_cannot_be_made_smaller_is_refused_in_words(models: dict[str, Estimator]) -> None:
    popular = ALGORITHMS["popularity"]().fit(MATRIX)
    for model, variant in (
        (popular, Variant("int8")),
        (models["als"], Variant(neighbours=3)),
        (models["item_knn"], Variant("int8")),
        (models["item_knn"], Variant(rank=3)),
    ):
        with pytest.raises(ValueError, match="neighbours"):
            compress(model, variant)
    with pytest.raises(ValueError, match="neighbours"):
        usual_variants(popular)
    for wrong in ({"storage": "int4"}, {"rank": 0}, {"neighbours": -1}):
        with pytest.raises(ValueError, match="must be"):
            Variant(**wrong)


def test_variants_can_be_loaded_and_never_trained() -> None:
    assert set(ALGORITHMS) < set(LOADABLE)
    assert {"als_compressed", "item_knn_compact"} <= set(LOADABLE) - set(ALGORITHMS)


def test_stored_numbers_are_mapped_and_a_wrong_one_is_refused(
    models: dict[str, Estimator], tmp_path: Path
) -> None:
    save(tmp_path / "a", compress(models["als"], Variant("int8")))
    kept = load_artifact(tmp_path / "a", verify=False).estimator
    assert isinstance(kept, CompressedFactors)
    assert isinstance(kept.item_factors_.base, np.memmap)
    replace_member(tmp_path / "a", "model_item_scales", np.ones(44, np.float32))
    with pytest.raises(ArtifactError, match="item_scales must be float32 of shape"):
        load_artifact(tmp_path / "a")


@pytest.mark.parametrize(("name", "variant"), [EVERY[1], EVERY[-1]])
def test_a_model_server_answers_with_a_variant(
    name: str, variant: Variant, models: dict[str, Estimator], tmp_path: Path
) -> None:
    save(tmp_path / "a", compress(models[name], variant))
    served = ServedModel(load_artifact(tmp_path / "a"))
    assert warm_up(served).items > 0
    ranked = Ranker(served).recommend_all(["u3"], Wanted(k=4))[0]
    expected = models[name].recommend(np.array([3]), 4, seen=MATRIX[3]).items[0]
    assert len(set(ranked.items) & set(expected.tolist())) >= 3
    assert ranked.served_by == compress(models[name], variant).name


@pytest.mark.parametrize("name", [each.removesuffix("_compressed") for each in LOADABLE if "_compr" in each])
def test_every_model_of_factors_folds_in_and_explains_from_int8(name: str) -> None:
    model = ALGORITHMS[name]().fit(MATRIX)
    made = compress(model, Variant("int8"))
    found, expected = (each.recommend(each.fold_in(MATRIX), 5).items for each in (made, model))
    shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, expected, strict=True)])
    assert shared > 0.9
    row = MATRIX[4]
    reasons = made.explain(row, 9, row.nnz)
    assert reasons.score == pytest.approx(made.score(made.fold_in(row), np.array([9]))[0], abs=1e-2)


# What it costs and what it saves


@pytest.fixture(scope="module")
def parts() -> Split:
    return split(make_shop().interactions, SplitConfig(method="leave_last", last_n=5))


def steps() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 0.002


def test_int8_is_a_quarter_of_the_size_and_loses_next_to_nothing(parts: Split) -> None:
    model = ALS().fit(parts.train)
    variants = [Variant("float16"), Variant("int8"), Variant("int8", rank=32)]
    ticks = steps()
    whole, half, quarter, cut = measure_variants(model, variants, parts, clock=lambda: next(ticks), users=20)
    assert whole.difference.difference == 0
    assert whole.overlap == 1
    assert whole.p50_ms == pytest.approx(2, rel=1e-3)
    assert half.size_bytes / whole.size_bytes == pytest.approx(0.5, abs=0.01)
    assert quarter.size_bytes / whole.size_bytes == pytest.approx(0.25 + 1 / 64, abs=0.01)
    assert cut.size_bytes < 0.16 * whole.size_bytes
    assert half.overlap > 0.99
    assert abs(half.difference.difference) < 0.0005
    assert quarter.overlap > 0.95
    assert quarter.difference.low > -0.002
    assert quarter.ndcg.low < whole.ndcg.value < quarter.ndcg.high
    found = [whole, half, quarter, cut]
    assert smallest_that_keeps(found, 1.0) is cut
    worse = replace(cut, difference=replace(cut.difference, low=-0.03 * whole.ndcg.value))
    assert smallest_that_keeps([whole, half, quarter, worse], 0.04) is worse
    assert smallest_that_keeps([whole, half, quarter, worse], 0.02) is quarter
    assert smallest_that_keeps([whole, worse], 0.02) is whole
    assert json.loads(json.dumps(quarter.summary(), allow_nan=False))["variant"] == "int8"


def test_fewer_neighbours_are_measured_like_any_variant(parts: Split) -> None:
    model = ItemKNN().fit(parts.train)
    found = measure_variants(model, [Variant(neighbours=10)], parts, clock=perf_counter, users=20)
    assert found[1].size_bytes < found[0].size_bytes
    assert 0.3 < found[1].overlap < 1
    assert 0 < found[1].p50_ms <= found[1].p99_ms
