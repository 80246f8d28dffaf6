"""A fitted model as a folder: one `.npy` a member and `manifest.json`, whose sha256 is the digest.

The manifest names the shape, type, size and sha256 of every member, so that one digest pins all of
it; the small files for MLflow (`mlflow_layout`) are pinned alike. Nothing in the folder is ever
executed, nothing outside it is ever opened, and a member is mapped only after its size on disk agrees
with what the manifest declares. `verify=True` reads everything once; `verify=False` maps in
milliseconds, for a folder verified before.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.array_files import ArtifactError, Declared, map_array, only_known, open_regular, write_array
from engine.estimators import LOADABLE
from engine.estimators.base import Estimator, Recommendations, make_config
from engine.interactions import IdTable
from engine.items import ItemFacts
from engine.mlflow_layout import check_mlflow_layout, write_mlflow_layout

__all__ = ["FORMAT_VERSION", "Artifact", "ArtifactError", "load_artifact", "save_artifact"]

FORMAT_VERSION = 1
MAX_MANIFEST = 1 << 20
MEMBER_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
KEYS = {
    "format_version", "algorithm", "config", "seed", "threads", "n_users", "n_items", "library_versions",
    "metrics", "dataset_digest", "same_content", "members",
}  # fmt: skip
OPTIONAL_KEYS = {"files"}  # artifacts of earlier programs have no files for MLflow


@dataclass(frozen=True)
class Artifact:
    """A model ready to serve.

    seen: (n_users, n_items), what each user already has; its values are those of the fit when the model
    reads values and they were kept (`has_values`), and 1 otherwise.
    fallback: every item that anyone chose, most popular first, as one row.
    """

    digest: str
    manifest: Mapping[str, Any]
    estimator: Estimator
    user_ids: IdTable
    item_ids: IdTable
    seen: sp.csr_matrix
    fallback: Recommendations
    facts: ItemFacts | None = None
    size_bytes: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    has_values: bool = False

    @property
    def algorithm(self) -> str:
        return self.estimator.name


def save_artifact(
    folder: Path,
    estimator: Estimator,
    *,
    user_ids: IdTable,
    item_ids: IdTable,
    seen: sp.csr_matrix,
    facts: ItemFacts | None = None,
    metrics: Mapping[str, Any] | None = None,
    dataset_digest: str = "",
) -> str:
    """Write a fitted estimator with all that serving needs into a new folder; return its digest.

    The same model gives the same digest: the manifest holds no time and no path.
    Raises ArtifactError when a learned value is not finite or the tables do not fit the model.
    """
    shape = (estimator.n_users_, estimator.n_items_)
    if (len(user_ids), len(item_ids)) != shape or seen.shape != shape or (facts and len(facts) != shape[1]):
        raise ArtifactError(f"the id tables, seen matrix and item facts must fit a model of shape {shape}")
    arrays = _shared_members(user_ids, item_ids, seen, facts)
    if estimator.reads_values:
        arrays["seen_values"] = seen.data.astype(np.float32, copy=False)
    arrays |= {f"model_{name}": array for name, array in estimator.arrays().items()}
    folder.mkdir(parents=True, exist_ok=True)
    members, same_content = _write_members(folder, arrays)
    manifest = {
        "format_version": FORMAT_VERSION,
        "algorithm": estimator.name,
        "config": asdict(estimator.config),
        "seed": estimator.seed,
        "threads": estimator.threads,
        "n_users": shape[0],
        "n_items": shape[1],
        "library_versions": {name: version(name) for name in ("numba", "numpy", "scipy")},
        "metrics": dict(metrics or {}),
        "dataset_digest": dataset_digest,
        "same_content": same_content,
        "members": {name: declared.as_json() for name, declared in members.items()},
    }
    some_users = [user_ids[at] for at in range(min(3, shape[0]))]
    manifest["files"] = write_mlflow_layout(folder, manifest, some_users)
    text = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()
    with (folder / "manifest.json").open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return hashlib.sha256(text).hexdigest()


def load_artifact(
    folder: Path, expected_digest: str | None = None, *, verify: bool = True, threads: int = 2
) -> Artifact:
    """Map an artifact; raise ArtifactError, naming the part, for anything but an intact one.

    expected_digest: what `save_artifact` returned; the manifest is read only when it agrees.
    verify: read every member once and check its digest, its values and every position in it.
    """
    with open_regular(folder / "manifest.json", "manifest.json") as file:
        text = file.read(MAX_MANIFEST + 1)
    digest = hashlib.sha256(text).hexdigest()
    if expected_digest is not None and digest != expected_digest:
        raise ArtifactError(f"the manifest has the digest {digest[:12]}…, expected {expected_digest[:12]}…")
    manifest = _read_manifest(text)
    declared = {name: Declared.read(name, entry) for name, entry in manifest["members"].items()}
    extra = check_mlflow_layout(folder, manifest.get("files", {}))
    arrays = {name: map_array(folder, name, entry, verify=verify) for name, entry in declared.items()}
    for name, original in manifest["same_content"].items():
        if not isinstance(original, str) or original not in arrays:
            raise ArtifactError(f"the manifest says that {name} is {original!r}, which it does not hold")
        arrays[name] = arrays[original]
    shape = (manifest["n_users"], manifest["n_items"])
    try:
        return Artifact(
            digest=digest,
            manifest=manifest,
            estimator=_rebuild(manifest, arrays, threads),
            user_ids=_id_table(arrays, "user_ids", shape[0], verify),
            item_ids=_id_table(arrays, "item_ids", shape[1], verify),
            seen=_csr(arrays, shape, verify),
            fallback=_fallback(arrays, shape[1]),
            facts=_facts(arrays, shape[1], verify) if "item_prices" in arrays else None,
            size_bytes=len(text) + extra + sum(entry.bytes for entry in declared.values()),
            metrics=manifest["metrics"],
            has_values="seen_values" in arrays,
        )
    except KeyError as missing:
        raise ArtifactError(f"the artifact has no member {missing}") from None


def _shared_members(
    user_ids: IdTable, item_ids: IdTable, seen: sp.csr_matrix, facts: ItemFacts | None
) -> dict[str, npt.NDArray[Any]]:
    chosen_by = np.bincount(seen.indices, minlength=seen.shape[1])
    order = np.argsort(-chosen_by, kind="stable")[: int((chosen_by > 0).sum())]
    arrays: dict[str, npt.NDArray[Any]] = {
        "user_ids_offsets": user_ids.offsets,
        "user_ids_text": user_ids.text,
        "item_ids_offsets": item_ids.offsets,
        "item_ids_text": item_ids.text,
        "seen_indptr": seen.indptr,
        "seen_indices": seen.indices,
        "fallback_items": order.astype(np.int32),
        "fallback_scores": chosen_by[order].astype(np.float32),
    }
    if facts is not None:
        arrays |= {
            "item_titles_offsets": facts.titles.offsets,
            "item_titles_text": facts.titles.text,
            "item_category_names_offsets": facts.category_names.offsets,
            "item_category_names_text": facts.category_names.text,
            "item_category_of": facts.category_of,
            "item_prices": facts.prices,
        }
    return arrays


def _write_members(
    folder: Path, arrays: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, Declared], dict[str, str]]:
    """Write each array once; one with the content of an earlier one is only named."""
    members: dict[str, Declared] = {}
    same_content: dict[str, str] = {}
    for name, array in arrays.items():
        if not MEMBER_NAME.fullmatch(name):
            raise ArtifactError(f"{name!r} cannot name a member")
        twin = next((other for other in members if _same(array, arrays[other])), None)
        if twin is None:
            members[name] = write_array(folder, name, array)
        else:
            same_content[name] = twin
    return members, same_content


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)


def _read_manifest(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_MANIFEST:
        raise ArtifactError("manifest.json is too large")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ArtifactError("manifest.json is not JSON") from problem
    if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
        found = manifest.get("format_version") if isinstance(manifest, dict) else None
        raise ArtifactError(f"the artifact has format version {found!r}; this program reads {FORMAT_VERSION}")
    only_known(manifest, KEYS | OPTIONAL_KEYS, "the manifest")
    missing = sorted(KEYS - set(manifest))
    if missing:
        raise ArtifactError(f"the manifest lacks {', '.join(missing)}")
    dicts = all(isinstance(manifest[key], dict) for key in ("config", "metrics", "same_content", "members"))
    whole = all(type(manifest[key]) is int and manifest[key] >= 0 for key in ("n_users", "n_items", "seed"))
    if not dicts or not whole:
        raise ArtifactError("the manifest is malformed")
    names = [*manifest["members"], *manifest["same_content"]]
    if not all(MEMBER_NAME.fullmatch(name) for name in names):
        raise ArtifactError("the manifest names a member that is no plain name")
    return manifest


def _rebuild(manifest: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], threads: int) -> Estimator:
    algorithm = LOADABLE.get(manifest["algorithm"]) if isinstance(manifest["algorithm"], str) else None
    if algorithm is None:
        raise ArtifactError(f"there is no algorithm {manifest['algorithm']!r}")
    own = {name.removeprefix("model_"): array for name, array in arrays.items() if name.startswith("model_")}
    try:
        config = make_config(algorithm.Config, manifest["config"])
        shape = {"n_users": manifest["n_users"], "n_items": manifest["n_items"]}
        return algorithm.from_arrays(config, own, seed=manifest["seed"], threads=threads, **shape)
    except ValueError as problem:
        raise ArtifactError(str(problem)) from problem


def _id_table(arrays: Mapping[str, npt.NDArray[Any]], name: str, count: int | None, verify: bool) -> IdTable:
    offsets, text = arrays[f"{name}_offsets"], arrays[f"{name}_text"]
    right = offsets.dtype == np.int64 and text.dtype == np.uint8 and offsets.ndim == text.ndim == 1
    if not right or len(offsets) < 1 or (count is not None and len(offsets) != count + 1):
        raise ArtifactError(f"{name} does not list one text a position")
    if offsets[0] != 0 or offsets[-1] != len(text) or (verify and (np.diff(offsets) < 0).any()):
        raise ArtifactError(f"{name} has offsets outside its text")
    return IdTable(offsets, text)


def _csr(arrays: Mapping[str, npt.NDArray[Any]], shape: tuple[int, int], verify: bool) -> sp.csr_matrix:
    indptr, indices = arrays["seen_indptr"], arrays["seen_indices"]
    check_csr(indptr, indices, shape, "seen", verify=verify)
    values = arrays.get("seen_values")  # artifacts of earlier programs have none
    if values is None:
        values = np.ones(len(indices), np.float32)
    if values.dtype != np.float32 or values.shape != indices.shape:
        raise ArtifactError("seen_values does not hold one value for each item that a user has")
    return sp.csr_matrix((values, indices, indptr), shape=shape)


def check_csr(
    indptr: npt.NDArray[Any], indices: npt.NDArray[Any], shape: tuple[int, int], name: str, *, verify: bool
) -> None:
    """Raise ArtifactError when a CSR's parts do not fit the shape: kernels trust positions."""
    plain = indptr.ndim == indices.ndim == 1 and {indptr.dtype.kind, indices.dtype.kind} == {"i"}
    if not plain or len(indptr) != shape[0] + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise ArtifactError(f"{name} does not have one row a user")
    if verify and (
        (np.diff(indptr) < 0).any() or (len(indices) and not 0 <= indices.min() <= indices.max() < shape[1])
    ):
        raise ArtifactError(f"{name} points outside the items")


def _fallback(arrays: Mapping[str, npt.NDArray[Any]], n_items: int) -> Recommendations:
    items, scores = arrays["fallback_items"], arrays["fallback_scores"]
    if items.dtype != np.int32 or items.ndim != 1 or scores.shape != items.shape or len(items) > n_items:
        raise ArtifactError("fallback does not list items with their scores")
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise ArtifactError("fallback points outside the items")
    return Recommendations(items[None, :], scores[None, :])


def _facts(arrays: Mapping[str, npt.NDArray[Any]], n_items: int, verify: bool) -> ItemFacts:
    names = _id_table(arrays, "item_category_names", None, verify)
    category_of, prices = arrays["item_category_of"], arrays["item_prices"]
    if category_of.shape != (n_items,) or prices.shape != (n_items,) or category_of.dtype != np.int32:
        raise ArtifactError("item facts do not have one entry an item")
    if verify and len(category_of) and not -1 <= category_of.min() <= category_of.max() < len(names):
        raise ArtifactError("item_category_of points outside the categories")
    return ItemFacts(_id_table(arrays, "item_titles", n_items, verify), names, category_of, prices)
