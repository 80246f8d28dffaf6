"""MLflow lists an artifact and loads it, no pickle anywhere; whatever was changed in it is refused."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.artifacts import ArtifactError, load_artifact
from engine.estimators import ALGORITHMS
from engine.estimators.base import Estimator
from engine.mlflow_layout import NAMES
from engine.tests.test_artifacts import MATRIX, edit_manifest, save

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read once, when MLflow is imported
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MLflow's own type hints
    mlflow_models = pytest.importorskip("mlflow.models")
    pyfunc = pytest.importorskip("mlflow.pyfunc")


@pytest.fixture(scope="module")
def model() -> Estimator:
    return ALGORITHMS["als"]().fit(MATRIX)


@pytest.fixture
def folder(tmp_path: Path, model: Estimator) -> Path:
    save(tmp_path / "model", model)
    return tmp_path / "model"


def load(folder: Path) -> Any:
    return pyfunc.load_model(str(folder))


def test_mlflow_lists_the_model_with_its_signature_and_example(folder: Path) -> None:
    listed = mlflow_models.Model.load(str(folder))
    assert listed.flavors["aisle"]["algorithm"] == "als"
    assert listed.flavors["python_function"]["loader_module"] == "engine.mlflow_flavour"
    assert listed.get_input_schema().input_names() == ["user"]
    assert listed.get_output_schema().input_names() == ["user", "item", "score", "rank"]
    assert [(each.name, each.default) for each in listed.get_params_schema()] == [("k", 10)]
    assert listed.model_size_bytes == sum(path.stat().st_size for path in folder.glob("*.npy"))
    example = listed.load_input_example(str(folder))
    assert example["user"].tolist() == ["käufer-0", "käufer-1", "käufer-2"]


def test_mlflow_loads_the_model_and_it_gives_the_lists_of_the_engine(folder: Path, model: Estimator) -> None:
    loaded = load(folder)
    found = loaded.predict(pd.DataFrame({"user": ["käufer-3", "käufer-7"]}), params={"k": 4})
    expected = model.recommend(np.array([3, 7]), 4, seen=MATRIX[[3, 7]])
    assert found["user"].tolist() == ["käufer-3"] * 4 + ["käufer-7"] * 4
    assert found["rank"].tolist() == [1, 2, 3, 4] * 2
    assert found["item"].tolist() == [f"00{item}" for item in expected.items.ravel()]
    np.testing.assert_allclose(found["score"], expected.scores.ravel(), rtol=1e-5)
    example = mlflow_models.Model.load(str(folder)).load_input_example(str(folder))
    assert len(loaded.predict(example)) == 30


def test_somebody_new_gets_what_is_popular_and_a_strange_k_is_refused(folder: Path) -> None:
    loaded = load(folder)
    found = loaded.predict(pd.DataFrame({"user": ["nobody knows me"]}), params={"k": 2})
    popular = np.argsort(-np.bincount(MATRIX.indices, minlength=45), kind="stable")[:2]
    assert found["item"].tolist() == [f"00{item}" for item in popular]
    with pytest.raises(ValueError, match="k must be 1 to 100"):
        loaded.predict(pd.DataFrame({"user": ["nobody"]}), params={"k": 0})


def test_nothing_in_the_folder_is_a_pickle_or_code(folder: Path) -> None:
    names = {path.name for path in folder.iterdir() if path.suffix != ".npy"}
    assert names == {"manifest.json", *NAMES}


def test_the_same_model_has_the_same_files_and_uuid_and_another_model_another(
    tmp_path: Path, model: Estimator
) -> None:
    other = ALGORITHMS["als"](seed=1).fit(MATRIX)
    for name, each in (("a", model), ("b", model), ("c", other)):
        save(tmp_path / name, each)
    a, b, c = ((tmp_path / name / "MLmodel").read_bytes() for name in "abc")
    assert a == b != c
    ids = [mlflow_models.Model.load(str(tmp_path / name)).model_uuid for name in "ac"]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verify", [True, False])
def test_a_changed_missing_or_linked_file_is_refused(
    folder: Path, tmp_path: Path, name: str, verify: bool
) -> None:
    path = folder / name
    good = path.read_bytes()
    for wrong in (good + b"\n", good[:-1], b"", b"x" * 100_000):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match=name):
            load_artifact(folder, verify=verify)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_artifact(folder, verify=verify)
    (tmp_path / "elsewhere").write_bytes(good)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="plain file"):
        load_artifact(folder, verify=verify)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match="plain file"):
        load_artifact(folder, verify=verify)


def test_another_loader_module_is_refused_and_with_a_forged_manifest_by_the_digest(folder: Path) -> None:
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    path = folder / "MLmodel"
    path.write_bytes(path.read_bytes().replace(b"engine.mlflow_flavour", b"evil_module"))
    with pytest.raises(ArtifactError, match="MLmodel does not have the digest"):
        load_artifact(folder, digest)
    raw = path.read_bytes()
    facts = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    edit_manifest(folder, lambda manifest: manifest["files"].update(MLmodel=facts))
    with pytest.raises(ArtifactError, match="the manifest has the digest"):
        load_artifact(folder, digest)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["files"].update({"../../etc/passwd": m["files"]["MLmodel"]}),
        lambda m: m["files"].update({"conda.yaml": m["files"]["MLmodel"]}),
        lambda m: m["files"].update(MLmodel=None),
        lambda m: m["files"]["MLmodel"].update(more=1),
        lambda m: m["files"]["MLmodel"].update(bytes="1"),
        lambda m: m["files"]["MLmodel"].update(sha256=None),
        lambda m: m.update(files=[]),
        lambda m: m.update(files=None),
    ],
)
def test_a_manifest_that_says_something_else_of_the_files_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(folder, change)
    with pytest.raises(ArtifactError):
        load_artifact(folder)


def test_an_artifact_from_before_these_files_still_loads(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.pop("files"))
    for name in NAMES:
        (folder / name).unlink()
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 1
    assert load_artifact(folder).size_bytes > 0
