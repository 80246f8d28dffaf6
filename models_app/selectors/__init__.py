"""Reads of this stage; callers have authorised the actor for the shop."""

from models_app.selectors.comparisons import (
    compare_runs,
    compare_versions,
    metric_groups,
    why_not_comparable,
)
from models_app.selectors.plans import algorithms, forecast, plan_training
from models_app.selectors.previews import list_overlap, preview, registry_lists, sample_users
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
    "algorithms", "compare_runs", "compare_versions", "dataset", "dataset_version", "dataset_versions",
    "datasets", "forecast", "group_runs", "latest_version", "list_overlap", "metric_groups",
    "model_version", "model_versions",
    "plan_training", "preview", "registered_model", "registered_models", "registry_lists", "same_file",
    "sample_users",
    "training_run", "training_runs", "why_not_comparable",
]  # fmt: skip
