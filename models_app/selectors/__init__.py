"""Reads of this stage; callers have authorised the actor for the shop."""

from models_app.selectors.rows import (
    dataset,
    dataset_version,
    dataset_versions,
    datasets,
    group_runs,
    latest_version,
    model_version,
    model_versions,
    registered_model,
    registered_models,
    same_file,
    training_run,
    training_runs,
)

__all__ = [
    "dataset", "dataset_version", "dataset_versions", "datasets", "group_runs", "latest_version",
    "model_version", "model_versions", "registered_model", "registered_models", "same_file",
    "training_run", "training_runs",
]  # fmt: skip
