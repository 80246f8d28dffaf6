"""Numbered, immutable model versions: the artifact in storage, the row with its lineage and card."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import scipy.sparse as sp
from django.db.models import Max

import engine
from engine.artifacts import FORMAT_VERSION, save_artifact
from engine.estimators import Estimator
from models_app.models import ModelVersion, RegisteredModel, TrainingRun
from models_app.services.cards import write_card
from models_app.snapshots import Snapshot
from portal.core.actors import Actor
from portal.core.events import record
from portal.core.storage import store_tree, tree_path

LIBRARIES = ("numpy", "scipy", "numba")


@dataclass(frozen=True)
class KeptArtifact:
    """An artifact in storage."""

    digest: str
    size_bytes: int


def keep_artifact(
    folder: Path,
    estimator: Estimator,
    snapshot: Snapshot,
    *,
    seen: sp.csr_matrix,
    metrics: Mapping[str, Any],
    dataset_digest: str,
) -> KeptArtifact:
    """Write a fitted model with all that serving needs into `folder` and move that into storage."""
    interactions = snapshot.interactions
    digest = save_artifact(
        folder,
        estimator,
        user_ids=interactions.user_ids,
        item_ids=interactions.item_ids,
        seen=seen,
        facts=snapshot.item_facts(),
        metrics=metrics,
        dataset_digest=dataset_digest,
    )
    kept = store_tree(folder, digest)
    return KeptArtifact(digest, sum(path.stat().st_size for path in kept.iterdir()))


def artifact_folder(model_version: ModelVersion) -> Path:
    """Where a version's artifact is; whoever loads it checks it against `artifact_digest`."""
    return tree_path(model_version.artifact_digest)


def register(
    actor: Actor,
    model: RegisteredModel,
    run: TrainingRun,
    artifact: KeptArtifact,
    columns: Mapping[str, Any],
) -> ModelVersion:
    """Give the run's model the next number; the caller's transaction has locked the model's row."""
    newest = ModelVersion.objects.filter(registered_model=model).aggregate(newest=Max("number"))["newest"]
    number = (newest or 0) + 1
    lineage = describe_lineage(run, columns)
    made = ModelVersion.objects.create(
        registered_model=model,
        number=number,
        run=run,
        artifact_digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        algorithm=run.algorithm,
        metrics=columns["metrics"],
        lineage=lineage,
        card=write_card(model.name, number, run, artifact.digest, artifact.size_bytes, lineage, columns),
    )
    record(
        "modelversion.registered",
        made,
        actor=actor,
        shop=run.shop_id,
        run=run.pk,
        artifact_digest=artifact.digest,
        algorithm=run.algorithm,
    )
    return made


def describe_lineage(run: TrainingRun, columns: Mapping[str, Any]) -> dict[str, Any]:
    """List everything that is needed to make the same model again."""
    data = run.dataset_version
    return {
        "dataset": data.dataset.name,
        "dataset_version": data.pk,
        "dataset_version_number": data.number,
        "file_sha256": data.file_sha256,
        "ratings_until": data.ratings_until.isoformat() if data.ratings_until is not None else None,
        "items_sha256": data.items_sha256,
        "interactions_digest": data.interactions_digest,
        "interactions": data.interaction_count,
        "run": run.pk,
        "algorithm": run.algorithm,
        "config": run.config,
        "seed": run.seed,
        "split": run.split,
        "split_note": columns["split_note"],
        "weighing": run.weighing,
        "fitted_on": "all interactions, after the metrics were measured on the split",
        "artifact_format": FORMAT_VERSION,
        "engine_sha256": engine_sha256(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


@cache
def engine_sha256() -> str:
    """Name the arithmetic itself: one digest over the engine's sources."""
    folder = Path(engine.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if "tests" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
