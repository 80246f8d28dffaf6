"""An artifact comes back as it was, or not at all: every way to damage or forge one is refused in words."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.artifacts import ArtifactError, load_artifact, save_artifact
from engine.compression import Variant, compress
from engine.estimators import ALGORITHMS
from engine.estimators.base import Context, Estimator
from engine.interactions import IdTable
from engine.items import ItemFacts
from engine.testing import random_matrix

MATRIX = random_matrix(20)
FACTS = ItemFacts.of(
    [f"Oak board, No. {n}" for n in range(45)],
    [None if n % 5 == 0 else ("Kitchen" if n % 2 else "Garden") for n in range(45)],
    [np.nan if n == 3 else n + 0.9 for n in range(45)],
)


def save(folder: Path, model: Estimator, **more: Any) -> str:
    return save_artifact(
        folder,
        model,
        user_ids=IdTable.of(f"käufer-{n}" for n in range(60)),
        item_ids=IdTable.of(f"00{n}" for n in range(45)),
        seen=MATRIX,
        **more,
    )


@pytest.fixture(scope="module")
def model() -> Estimator:
    return ALGORITHMS["als"]().fit(MATRIX)


@pytest.fixture
def folder(tmp_path: Path, model: Estimator) -> Path:
    save(tmp_path / "model", model, facts=FACTS)
    return tmp_path / "model"


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest in place, as somebody would who can also recompute digests."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace_member(folder: Path, name: str, array: np.ndarray) -> None:
    """Swap a member and make the manifest agree with it: only the content is wrong."""
    path = folder / f"{name}.npy"
    np.save(path, array, allow_pickle=array.dtype == object)
    raw = path.read_bytes()
    edit_manifest(
        folder,
        lambda manifest: manifest["members"][name].update(
            sha256=hashlib.sha256(raw).hexdigest(),
            bytes=len(raw),
            shape=list(array.shape),
            dtype=array.dtype.str,
        ),
    )


# What comes back


def test_everything_that_serving_needs_comes_back(tmp_path: Path, model: Estimator) -> None:
    digest = save(
        tmp_path / "a", model, facts=FACTS, metrics={"ndcg@10": {"value": 0.1}}, dataset_digest="d1"
    )
    kept = load_artifact(tmp_path / "a", digest)
    assert kept.digest == digest
    assert kept.algorithm == "als"
    assert kept.estimator.config == model.config
    assert kept.user_ids[59] == "käufer-59"
    assert kept.item_ids.positions["007"] == 7
    assert (kept.seen != (MATRIX > 0)).nnz == 0
    assert kept.facts is not None
    assert (kept.facts.title(7), kept.facts.category(7), kept.facts.price(7)) == (
        "Oak board, No. 7",
        "Kitchen",
        7.9,
    )
    assert (kept.facts.category(5), kept.facts.price(3)) == (None, None)
    assert kept.metrics == {"ndcg@10": {"value": 0.1}}
    assert kept.manifest["dataset_digest"] == "d1"
    assert set(kept.manifest["library_versions"]) == {"numba", "numpy", "scipy"}
    on_disk = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    assert kept.size_bytes == on_disk


def test_values_are_kept_for_models_that_read_them(tmp_path: Path, folder: Path) -> None:
    rated = ALGORITHMS["biased_mf"]().fit(MATRIX)
    small = compress(rated, Variant(storage="float16"))
    for name, each in (("rated", rated), ("small", small)):
        save(tmp_path / name, each)
        kept = load_artifact(tmp_path / name)
        assert kept.has_values
        assert (kept.seen != MATRIX).nnz == 0
    assert not load_artifact(folder).has_values
    replace_member(tmp_path / "rated", "seen_values", MATRIX.data[:-1])
    with pytest.raises(ArtifactError, match="one value for each"):
        load_artifact(tmp_path / "rated")


def test_an_artifact_from_before_values_were_kept_still_loads(tmp_path: Path) -> None:
    save(tmp_path / "old", ALGORITHMS["biased_mf"]().fit(MATRIX))
    edit_manifest(tmp_path / "old", lambda manifest: manifest["members"].pop("seen_values"))
    kept = load_artifact(tmp_path / "old")
    assert not kept.has_values
    assert (kept.seen != (MATRIX > 0)).nnz == 0


def test_the_fallback_is_every_chosen_item_most_popular_first(folder: Path) -> None:
    fallback = load_artifact(folder).fallback
    counts = np.bincount(MATRIX.indices, minlength=45)
    assert fallback.scores[0].tolist() == sorted(counts[counts > 0].tolist(), reverse=True)
    assert counts[fallback.items[0]].tolist() == fallback.scores[0].tolist()


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_the_same_model_has_the_same_digest_and_another_seed_another(name: str, tmp_path: Path) -> None:
    context = Context(np.arange(MATRIX.nnz, dtype=np.int64), FACTS)
    digests = [
        save(tmp_path / str(at), ALGORITHMS[name](seed=seed).fit(MATRIX, context=context))
        for at, seed in enumerate((1, 1, 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_arrays_are_mapped_not_read_and_the_files_cannot_be_changed_through_them(folder: Path) -> None:
    before = (folder / "model_item_factors.npy").read_bytes()
    factors = load_artifact(folder, verify=False).estimator.arrays()["item_factors"]
    assert isinstance(factors.base, np.memmap)
    factors[0, 0] = 99
    assert (folder / "model_item_factors.npy").read_bytes() == before


def test_one_content_is_stored_once(tmp_path: Path) -> None:
    save(tmp_path / "a", ALGORITHMS["item_knn"]().fit(MATRIX))
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["same_content"]["model_history_items"] == "seen_indices"
    assert not (tmp_path / "a" / "model_history_items.npy").exists()


# What is refused when saving


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_factors_that_are_not_finite_cannot_be_kept(tmp_path: Path, value: float) -> None:
    broken = ALGORITHMS["als"]().fit(MATRIX)
    broken.arrays()["item_factors"][0, 0] = value
    with pytest.raises(ArtifactError, match="model_item_factors holds values that are not finite"):
        save(tmp_path / "a", broken)
    assert not (tmp_path / "a" / "manifest.json").exists()


def test_id_tables_of_another_size_cannot_be_kept(tmp_path: Path, model: Estimator) -> None:
    tables = IdTable.of(["only one"]), IdTable.of(["only one"])
    with pytest.raises(ArtifactError, match="must fit a model of shape"):
        save_artifact(tmp_path / "a", model, user_ids=tables[0], item_ids=tables[1], seen=MATRIX)


def test_an_existing_artifact_is_never_overwritten(folder: Path, model: Estimator) -> None:
    with pytest.raises(FileExistsError):
        save(folder, model)


# What is refused when loading


def test_one_flipped_byte_in_any_member_is_noticed(folder: Path) -> None:
    for path in sorted(folder.glob("*.npy")):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
        with pytest.raises(ArtifactError, match=path.stem):
            load_artifact(folder)
        raw[-1] ^= 1
        path.write_bytes(raw)
    load_artifact(folder)


def test_another_manifest_than_the_approved_one_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="has the digest"):
        load_artifact(folder, "0" * 64)


@pytest.mark.parametrize("verify", [True, False])
def test_a_truncated_or_lengthened_member_is_refused_before_it_is_mapped(folder: Path, verify: bool) -> None:
    path = folder / "model_item_factors.npy"
    raw = path.read_bytes()
    for wrong in (raw[:-4], raw + b"\0\0\0\0", b""):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match="truncated or replaced"):
            load_artifact(folder, verify=verify)


def test_a_missing_member_manifest_or_folder_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "seen_indices.npy").unlink()
    with pytest.raises(ArtifactError, match="seen_indices is missing"):
        load_artifact(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        load_artifact(folder)
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        load_artifact(tmp_path / "nowhere")


class Payload:
    """Leaves a file behind when anybody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_pickles_are_never_opened(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    objects = np.array([Payload(canary)], dtype=object)
    replace_member(folder, "model_spectrum", objects)
    with pytest.raises(ArtifactError, match="which no artifact may hold"):
        load_artifact(folder)
    edit_manifest(
        folder, lambda manifest: manifest["members"]["model_spectrum"].update(dtype="<f4", shape=[64])
    )
    with pytest.raises(ArtifactError, match="model_spectrum"):
        load_artifact(folder)
    assert not canary.exists()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').mkdir('canary'), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (64,), }",
        "{'descr': '<f4', 'fortran_order': False}",
        "(" * 3000,
        "not a header",
    ],
)
@pytest.mark.parametrize("agrees", [True, False])
def test_a_header_that_lies_is_refused(folder: Path, header: str, agrees: bool) -> None:
    text = (header + " " * 64).encode("latin1") + b"\n"
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 256
    (folder / "model_spectrum.npy").write_bytes(raw)
    facts: dict[str, Any] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    if agrees:
        facts["shape"] = [2000000000000]
    edit_manifest(folder, lambda manifest: manifest["members"]["model_spectrum"].update(facts))
    with pytest.raises(ArtifactError, match="model_spectrum"):
        load_artifact(folder)
    assert not (folder / "canary").exists()
    assert not Path("canary").exists()


def test_factors_that_are_not_finite_never_serve_even_with_the_right_digest(folder: Path) -> None:
    factors = np.load(folder / "model_item_factors.npy")
    factors[3, 3] = np.nan
    replace_member(folder, "model_item_factors", factors)
    with pytest.raises(ArtifactError, match="not finite"):
        load_artifact(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seen_indices", 45), ("seen_indices", -1), ("fallback_items", 45), ("item_category_of", 2),
        ("seen_indptr", 10_000), ("user_ids_offsets", 10**9),
    ],
)  # fmt: skip
def test_positions_outside_the_tables_never_reach_a_kernel(folder: Path, name: str, value: int) -> None:
    array = np.load(folder / f"{name}.npy").copy()
    array[1] = value
    replace_member(folder, name, array)
    with pytest.raises(ArtifactError):
        load_artifact(folder)


def test_neighbours_outside_the_items_never_reach_a_kernel(tmp_path: Path) -> None:
    save(tmp_path / "a", ALGORITHMS["item_knn"]().fit(MATRIX))
    for name in ("model_neighbour_items", "model_neighbour_indptr"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
        array = np.load(tmp_path / name / f"{name}.npy").copy()
        array[1] = 9_999
        replace_member(tmp_path / name, name, array)
        for verify in (True, False):
            with pytest.raises(ArtifactError, match="neighbours"):
                load_artifact(tmp_path / name, verify=verify)


def test_factors_of_another_shape_are_refused(folder: Path) -> None:
    replace_member(folder, "model_item_factors", np.zeros((44, 64), np.float32))
    with pytest.raises(ArtifactError, match="item_factors must be float32 of shape"):
        load_artifact(folder)


@pytest.mark.parametrize("name", ["model_item_factors.npy", "manifest.json"])
def test_a_symbolic_link_is_never_followed(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="plain file"):
        load_artifact(folder)


def test_a_pipe_in_place_of_a_member_is_refused_without_waiting(folder: Path) -> None:
    (folder / "model_spectrum.npy").unlink()
    os.mkfifo(folder / "model_spectrum.npy")
    with pytest.raises(ArtifactError, match="plain file"):
        load_artifact(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format_version=2),
        lambda m: m.update(format_version="1"),
        lambda m: m.pop("format_version"),
        lambda m: m.update(algorithm="../../evil"),
        lambda m: m.update(algorithm=["als"]),
        lambda m: m.update(extra=1),
        lambda m: m.pop("members"),
        lambda m: m.update(members=[]),
        lambda m: m.update(n_users=61),
        lambda m: m.update(n_items=-1),
        lambda m: m.update(seed="0"),
        lambda m: m["config"].update(factors=10**9),
        lambda m: m["config"].update(unknown=1),
        lambda m: m["members"].update({"../../etc/passwd": m["members"]["model_spectrum"]}),
        lambda m: m["members"].pop("user_ids_text"),
        lambda m: m["members"]["model_spectrum"].update(shape=[10**18]),
        lambda m: m["members"]["model_spectrum"].update(shape=[64.0]),
        lambda m: m["members"]["model_spectrum"].update(bytes=10**15),
        lambda m: m["members"]["model_spectrum"].update(more=1),
        lambda m: m["members"].update(model_spectrum=None),
        lambda m: m["same_content"].update(model_extra="nothing"),
        lambda m: m["same_content"].update(model_extra=["seen_indptr"]),
    ],
)
def test_a_manifest_that_is_not_exactly_right_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(folder, change)
    with pytest.raises(ArtifactError):
        load_artifact(folder)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b" " * 2_000_000, b"{}"]
)
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(ArtifactError):
        load_artifact(folder)
