"""The files that let MLflow's tools list an artifact and load it, with nothing pickled.

`MLmodel` says what the model takes and gives and which module of ours loads it
(`engine.mlflow_flavour`), `requirements.txt` what that module needs beside this package, and
`input_example.json` a question that it answers. The manifest pins each by its sha256. MLflow itself
checks no digest and imports the module that `MLmodel` names: give it a folder that `load_artifact`
has accepted.
"""

import hashlib
import json
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.array_files import ArtifactError, open_regular

LOADER = "engine.mlflow_flavour"
NAMES = ("MLmodel", "requirements.txt", "input_example.json")
NEEDED = ("numba", "numpy", "orjson", "scipy", "threadpoolctl")  # and pandas, which is the caller's
DEFAULT_K = 10
MAX_BYTES = 1 << 16
EXAMPLE_ID_BYTES = 256

INPUTS = [{"name": "user", "type": "string", "required": True}]
OUTPUTS = [
    {"name": name, "type": kind, "required": True}
    for name, kind in (("user", "string"), ("item", "string"), ("score", "double"), ("rank", "long"))
]
PARAMS = [{"name": "k", "type": "long", "default": DEFAULT_K, "shape": None}]

# Filled with JSON texts only, which YAML reads as they are: no YAML writer is needed.
MLMODEL = """\
flavors:
  aisle:
    algorithm: {algorithm}
    format_version: {format_version}
    manifest: "manifest.json"
    n_items: {n_items}
    n_users: {n_users}
  python_function:
    loader_module: {loader}
    python_version: {python}
model_size_bytes: {size}
model_uuid: {uuid}
saved_input_example_info:
  artifact_path: "input_example.json"
  pandas_orient: "split"
  type: "dataframe"
signature:
  inputs: {inputs}
  outputs: {outputs}
  params: {params}
"""


def write_mlflow_layout(
    folder: Path, manifest: Mapping[str, Any], some_users: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Write the three files beside the members; return what the manifest is to say of them.

    manifest: all that it holds without these files: its sha256 gives the model's uuid, so that the same
    model has the same one. some_users: ids for the example; those too long for a request are left out.
    """
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    values = {
        "algorithm": manifest["algorithm"],
        "format_version": manifest["format_version"],
        "n_items": manifest["n_items"],
        "n_users": manifest["n_users"],
        "loader": LOADER,
        "python": platform.python_version(),
        "size": sum(entry["bytes"] for entry in manifest["members"].values()),
        "uuid": uuid.uuid5(uuid.NAMESPACE_OID, digest).hex,
        "inputs": json.dumps(INPUTS),  # MLflow keeps a signature as JSON inside of YAML
        "outputs": json.dumps(OUTPUTS),
        "params": json.dumps(PARAMS),
    }
    short = [user for user in some_users if len(user.encode()) <= EXAMPLE_ID_BYTES]
    example = {"columns": ["user"], "data": [[user] for user in short or ["somebody new"]]}
    texts = {
        "MLmodel": MLMODEL.format_map({name: json.dumps(value) for name, value in values.items()}),
        "requirements.txt": "".join(f"{name}=={version(name)}\n" for name in NEEDED) + "pandas\n",
        "input_example.json": json.dumps(example),
    }
    return {name: _write(folder / name, text.encode()) for name, text in texts.items()}


def check_mlflow_layout(folder: Path, files: object) -> int:
    """Compare the files with what the manifest says of them; return their bytes, or raise ArtifactError."""
    if not isinstance(files, dict) or set(files) - set(NAMES):
        raise ArtifactError("the manifest names files that no artifact has")
    total = 0
    for name, entry in files.items():
        if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
            raise ArtifactError(f"the manifest's entry of {name} is malformed")
        with open_regular(folder / name, name) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ArtifactError(f"{name} does not have the digest that the manifest names")
        total += len(content)
    return total


def _write(path: Path, content: bytes) -> dict[str, Any]:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
