"""Rows of one shop, newest first; the singular functions raise NotFound, for other shops' ids too."""

from typing import TypeVar

from django.db.models import Model, OuterRef, QuerySet, Subquery

from models_app.models import Dataset, DatasetVersion, ModelVersion, RegisteredModel, TrainingRun
from portal.core.errors import NotFound
from portal.core.models import Shop

Row = TypeVar("Row", bound=Model)


def datasets(shop: Shop) -> QuerySet[Dataset]:
    """The shop's datasets, each with `newest_version_id` (None before the first upload)."""
    newest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number").values("pk")[:1]
    return (
        Dataset.objects.filter(shop=shop)
        .select_related("created_by")
        .annotate(newest_version_id=Subquery(newest))  # type: ignore[no-redef]
        .order_by("-created_at", "-pk")
    )


def dataset(shop: Shop, dataset_id: str) -> Dataset:
    return _one(datasets(shop), dataset_id, "dataset")


def dataset_versions(shop: Shop, dataset: Dataset | None = None) -> QuerySet[DatasetVersion]:
    """Versions of one dataset or of all."""
    rows = DatasetVersion.objects.filter(shop=shop).select_related("dataset", "created_by")
    if dataset is not None:
        rows = rows.filter(dataset=dataset)
    return rows.order_by("-created_at", "-pk")


def dataset_version(shop: Shop, version_id: str) -> DatasetVersion:
    return _one(dataset_versions(shop), version_id, "dataset version")


def latest_version(shop: Shop, dataset: Dataset, *, status: str = "ready") -> DatasetVersion | None:
    """The newest version of a dataset in that status."""
    return dataset_versions(shop, dataset).filter(status=status).order_by("-number").first()


def same_file(version: DatasetVersion) -> QuerySet[DatasetVersion]:
    """Other versions of the shop made from the very same file."""
    if not version.file_sha256:
        return DatasetVersion.objects.none()
    rows = DatasetVersion.objects.filter(shop_id=version.shop_id, file_sha256=version.file_sha256)
    return rows.exclude(pk=version.pk).select_related("dataset").order_by("-created_at")


def training_runs(shop: Shop) -> QuerySet[TrainingRun]:
    """Runs of the shop, baselines and champions included; `segments` and `gaps` come when asked for."""
    return (
        TrainingRun.objects.filter(shop=shop)
        .select_related(
            "dataset_version__dataset", "registered_model", "created_by", "model_version", "recipe_of"
        )
        .defer("segments", "gaps")
        .order_by("-created_at", "-pk")
    )


def training_run(shop: Shop, run_id: str) -> TrainingRun:
    return _one(training_runs(shop).defer(None), run_id, "training run")


def group_runs(shop: Shop, group: str) -> QuerySet[TrainingRun]:
    """Runs started together, in the order in which they were started: the baseline first."""
    return training_runs(shop).defer(None).filter(group=group).order_by("created_at", "pk")


def registered_models(shop: Shop) -> QuerySet[RegisteredModel]:
    """Models of the shop, each with `newest_number` (None while no run has succeeded)."""
    newest = ModelVersion.objects.filter(registered_model=OuterRef("pk")).order_by("-number")
    return (
        RegisteredModel.objects.filter(shop=shop)
        .annotate(  # type: ignore[no-redef]
            newest_number=Subquery(newest.values("number")[:1]),
            newest_version_id=Subquery(newest.values("pk")[:1]),
        )
        .order_by("-created_at", "-pk")
    )


def registered_model(shop: Shop, model_id: str) -> RegisteredModel:
    return _one(registered_models(shop), model_id, "model")


def model_versions(shop: Shop, registered_model: RegisteredModel | None = None) -> QuerySet[ModelVersion]:
    """Versions of one model or of all."""
    rows = (
        ModelVersion.objects.filter(registered_model__shop=shop)
        .select_related("registered_model", "run__dataset_version__dataset", "run__created_by")
        .defer("run__segments", "run__gaps")
    )
    if registered_model is not None:
        rows = rows.filter(registered_model=registered_model)
    return rows.order_by("-created_at", "-pk")


def model_version(shop: Shop, version_id: str) -> ModelVersion:
    return _one(model_versions(shop).defer(None), version_id, "model version")


def _one(rows: QuerySet[Row], pk: str, noun: str) -> Row:
    found = rows.filter(pk=pk).first() if len(pk) <= 40 and "\0" not in pk else None
    if found is None:
        raise NotFound(f"There is no such {noun} here.")
    return found
