"""API paths, below /api/v1/."""

from django.urls import URLPattern, path

from models_app.api import datasets, registry, training

urlpatterns: list[URLPattern] = [
    path("datasets", datasets.DatasetsView.as_view(), name="api_datasets"),
    path("datasets/<str:dataset_id>", datasets.DatasetView.as_view(), name="api_dataset"),
    path("datasets/<str:dataset_id>/versions", datasets.VersionsView.as_view(), name="api_dataset_versions"),
    path(
        "datasets/<str:dataset_id>/versions/from-ratings",
        datasets.FromRatingsView.as_view(),
        name="api_dataset_from_ratings",
    ),
    path("dataset-versions/<str:version_id>", datasets.VersionView.as_view(), name="api_dataset_version"),
    path("dataset-versions/<str:version_id>/file", datasets.FileView.as_view(), name="api_dataset_file"),
    path("dataset-versions/<str:version_id>/items", datasets.ItemsView.as_view(), name="api_dataset_items"),
    path("dataset-versions/<str:version_id>/check", datasets.CheckView.as_view(), name="api_dataset_check"),
    path(
        "dataset-versions/<str:version_id>/cancel", datasets.CancelView.as_view(), name="api_dataset_cancel"
    ),
    path("dataset-versions/<str:version_id>/retry", datasets.RetryView.as_view(), name="api_dataset_retry"),
    path("dataset-versions/<str:version_id>/plan", training.PlanView.as_view(), name="api_training_plan"),
    path("algorithms", training.AlgorithmsView.as_view(), name="api_algorithms"),
    path("training-runs", training.RunsView.as_view(), name="api_training_runs"),
    path("training-runs/estimate", training.EstimateView.as_view(), name="api_training_estimate"),
    path("training-runs/<str:run_id>", training.RunView.as_view(), name="api_training_run"),
    path("training-runs/<str:run_id>/log", training.LogView.as_view(), name="api_training_log"),
    path("training-runs/<str:run_id>/cancel", training.CancelView.as_view(), name="api_training_cancel"),
    path("comparisons", registry.ComparisonView.as_view(), name="api_comparison"),
    path("models", registry.ModelsView.as_view(), name="api_models"),
    path("models/<str:model_id>", registry.ModelView.as_view(), name="api_model"),
    path("model-versions", registry.VersionsView.as_view(), name="api_model_versions"),
    path("model-versions/<str:version_id>", registry.VersionView.as_view(), name="api_model_version"),
    path("model-versions/<str:version_id>/card", registry.CardView.as_view(), name="api_model_card"),
    path("model-versions/<str:version_id>/manifest", registry.ManifestView.as_view(), name="api_manifest"),
    path("model-versions/<str:version_id>/shoppers", registry.ShoppersView.as_view(), name="api_shoppers"),
    path("model-versions/<str:version_id>/preview", registry.PreviewView.as_view(), name="api_preview"),
]
